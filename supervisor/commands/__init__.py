"""The operator's own commands, as children of the tree."""
