"""A state_dir that is taken away from under the running tree: it ends, and touches nothing of who comes after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import lengths
from tests.instance import Instance, wait_for
from tests.pictures import make_export

pytestmark = pytest.mark.tree


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("state-dir") / "export", 2)


@pytest.mark.parametrize("how", [*(["removed", "moved"] if lengths.is_long else []), "replaced", "its journal removed"])
def test_the_tree_ends_when_its_folder_is_gone(how: str, export: Path, make_instance: Callable[..., Instance]) -> None:
    """One that is replaced has been moved; every run has that."""
    instance = make_instance(export)
    instance.start()
    instance.wait_until_running()
    instance.wait_until_done()
    assert instance.root is not None
    second = Instance(instance.folder, export)
    second.log = instance.folder / "second.log"
    try:
        if how == "removed":
            shutil.rmtree(instance.state_dir, ignore_errors=True)  # it may be written to meanwhile
        elif how == "its journal removed":
            (instance.state_dir / "journal.db").unlink()
        else:
            instance.state_dir.rename(instance.folder / "elsewhere")
        if how == "replaced":
            second.start()
        assert instance.root.wait(timeout=30) == 1
        wait_for("every process to be gone", lambda: not instance.left_over(), 5)
        [told] = [one for one in instance.records() if one["event"] == "state_dir.lost"]
        assert told["level"] == "error" and str(instance.state_dir) in told["why"] and told["remedy"]
        if how == "replaced":
            second.wait_until_done()
            second.wait_until_running()
            assert second.answer("reload").returncode == 0, "its control socket is still there"
            assert second.stop() == 0
            second.assert_published([1, 2])
            second.assert_nothing_left()
        else:
            assert not instance.state_dir.exists() or not (instance.state_dir / "journal.db").exists()
    finally:
        second.end()
