"""While modules are loaded nothing is collected; afterwards all is as before, and what they made is passed over."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ipc.process.loading import loading


@pytest.fixture(autouse=True)
def gc_as_before() -> Iterator[None]:
    yield
    gc.enable()


def test_nothing_is_collected_meanwhile_nor_looked_at_afterwards() -> None:
    gc.unfreeze()
    with loading():
        assert not gc.isenabled()
        made: list[object] = []
        made.append(made)
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0 and not any(one is made for one in gc.get_objects())


def test_collections_go_on_after_a_module_that_is_broken() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()


def test_what_is_loaded_while_something_is_loaded_switches_nothing_on() -> None:
    with loading():
        with loading():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
