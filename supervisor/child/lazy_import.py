"""Modules that are loaded at their first use or not at all: what a library imports, and our processes never need."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, cast


class _Later(ModuleType):
    """Stands in `sys.modules` until somebody asks the module for something.

    Not importlib's LazyLoader: up to Python 3.13 the very statement `import NAME` makes that one load.
    """

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


def load(name: str) -> None:
    """Make `import NAME` cost nothing until somebody asks the module for something."""
    if name not in sys.modules:
        sys.modules[name] = _Later(name)


def leave_out(name: str) -> None:
    """Make `import NAME` fail, as if it were not installed. Has no effect once it is imported."""
    sys.modules.setdefault(name, cast(ModuleType, None))


def admit(name: str) -> None:
    """Make `import NAME` work again after `leave_out`."""
    if name in sys.modules and sys.modules[name] is None:
        del sys.modules[name]
