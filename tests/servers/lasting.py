"""Servers that outlive a test, because starting one for each would take too long. They are no child that it left."""

from __future__ import annotations

LASTING: set[int] = set()
"""Process ids. Who starts such a server adds it, who stops it takes it out; its own children go with it."""
