"""What a child is to its supervisor: how it is held, what it is told, how it is loaded, what its check has tried."""
