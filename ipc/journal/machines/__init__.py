"""Pictures that are handed over between machines: an origin's claims, and what a node has taken."""
