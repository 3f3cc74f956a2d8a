"""Tests mirror the source; tests/chaos kills things. See the README, "For contributors"."""
