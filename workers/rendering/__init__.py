"""From an original to its renditions: how long it may take, whose fault a failure is."""
