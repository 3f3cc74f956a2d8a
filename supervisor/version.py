"""The version of the program. pyproject.toml has the same; a test compares them."""

VERSION = "1.0.0"
