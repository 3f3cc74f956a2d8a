"""What an export says: its JSON, read as a stream, checked, and made into posts."""
