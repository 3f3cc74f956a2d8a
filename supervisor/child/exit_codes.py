"""The exit codes of a child besides 0, 1 and `ipc.process.holds.EX_CONFIG`."""

from typing import Final

ORPHANED: Final = 70
"""sysexits.h EX_SOFTWARE: the child's supervisor is gone, so no one reads it."""

EX_TEMPFAIL: Final = 75
"""sysexits.h: to be tried again later."""
