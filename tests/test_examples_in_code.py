"""The examples in docstrings say what the code does."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.instance import HOME

MODULES = [
    ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")
    for package in ("health", "ipc", "supervisor", "workers")
    for path in sorted((HOME / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_they_are_true(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
