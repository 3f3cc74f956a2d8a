"""What keeps a command line from being carried out."""


class CommandFailed(Exception):
    """A command cannot do what it was asked; the text says why and what to do."""
