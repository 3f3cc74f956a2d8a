"""From an original to its renditions: which worker makes them, in what time, and whose fault a failure is."""
