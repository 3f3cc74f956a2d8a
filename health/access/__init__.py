"""Who may read what, and who may act."""
