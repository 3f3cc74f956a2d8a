"""What runs inside a child, before and around its work."""
