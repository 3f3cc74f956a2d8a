"""A service that is published to: whether it may be asked, and whose fault a failure is."""
