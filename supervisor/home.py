"""Where the program is."""

from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
"""The checkout: children import the program from here, whatever folder they run in."""
