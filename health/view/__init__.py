"""What this process knows, from three sources: the root, the journal and the machine."""
