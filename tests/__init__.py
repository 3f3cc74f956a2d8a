"""Tests mirror the source; tests/chaos kills things. See docs/contributing.md."""
