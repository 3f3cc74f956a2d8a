"""The one exception of the commands."""


class Failed(Exception):
    """A command cannot do what it was asked; the text says why and what to do."""
