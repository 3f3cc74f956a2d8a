"""The files that processes share, and the names of objects."""
