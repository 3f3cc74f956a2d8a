"""Modules are loaded without garbage collections: nothing that they make is garbage.

A collection looks through all objects there are, and an import makes so many that it sets off dozens: a tenth of what a
process of ours takes to start, and a third of what telethon takes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Collect nothing within. What is there afterwards stays for the process' life: no later collection looks at it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
