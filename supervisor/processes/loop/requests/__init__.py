"""What is asked of a running supervisor: by its router, by the operator, by a reload."""
