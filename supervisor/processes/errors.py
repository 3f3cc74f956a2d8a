"""What keeps a command line from being carried out."""


class CannotStart(Exception):
    """Something outside is not as the configuration says; the text names what, where and the remedy.

    What may pass by itself (a full disk, a port that is taken) is `CommandFailed`: the start may be tried again.
    """


class CommandFailed(Exception):
    """A command cannot do what it was asked; the text says why and what to do."""
