"""The tree: child life cycle, restart policy, settings, logs, command line. Imports no worker, no client library."""
