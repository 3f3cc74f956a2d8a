"""The one exception that a child raises when restarting it cannot help."""

from __future__ import annotations

EX_CONFIG = 78
"""sysexits.h: something in the configuration is wrong. A child that exits with it is held, not restarted."""


class Hold(Exception):
    """This child has failed for good, until someone has done what `remedy` says.

    Its supervisor holds it: it is not restarted, the other children go on, /status shows `what` and `remedy`.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what = what
        self.remedy = remedy
