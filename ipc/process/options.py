"""Options that a child cannot use hold it: a restart would read the same ones and fail again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from ipc.process.holds import Hold

REMEDY = (
    "Correct the setting in config.toml, then bin/run reload. If the program was updated while it ran, restart all of"
    " it. The log has the traceback"
)


@contextmanager
def reading_options() -> Iterator[None]:
    """Around the code that reads a child's options: a missing or unusable one raises Hold."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        structlog.get_logger().exception("options.refused")
        raise Hold(f"its options cannot be used: {_said(error)}", REMEDY) from error


def _said(error: Exception) -> str:
    """The error in words.

    >>> _said(KeyError("retry")), _said(ValueError("'@' names no channel")), _said(AssertionError())
    ("there is no 'retry'", "'@' names no channel", 'AssertionError')
    """
    if isinstance(error, KeyError):
        return f"there is no {error}"
    return str(error) or type(error).__name__
