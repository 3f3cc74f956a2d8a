"""Why an original cannot be stripped."""

from __future__ import annotations


class Unstrippable(Exception):
    """The file isn't built as its format says, or in a way that nothing here knows: what is wrong with it."""
