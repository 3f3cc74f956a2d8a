"""Documents are written only when they have become others."""

from __future__ import annotations

from pathlib import Path

from workers.publishing.documents.debounce import Debounce
from workers.publishing.documents.writer import DocumentWriter
from workers.publishing.storage import FileStorage

KEY = "feeds/all.json"


def writes(folder: Path) -> int:
    """The inode: every write makes another file."""
    return (folder / KEY).stat().st_ino


def test_the_same_is_not_written_again(tmp_path: Path) -> None:
    writer = DocumentWriter(FileStorage(tmp_path))
    assert writer.write(KEY, b"one", "text/plain")
    before = writes(tmp_path)
    assert not writer.write(KEY, b"one", "text/plain")
    assert not DocumentWriter(FileStorage(tmp_path)).write(KEY, b"one", "text/plain")  # one that has to look
    assert writes(tmp_path) == before
    assert writer.write(KEY, b"two", "text/plain") and (tmp_path / KEY).read_bytes() == b"two"


def test_a_deleted_one_is_written_again(tmp_path: Path) -> None:
    writer = DocumentWriter(FileStorage(tmp_path))
    writer.write(KEY, b"one", "text/plain")
    writer.delete(KEY)
    assert writer.read(KEY) is None
    assert writer.write(KEY, b"one", "text/plain")


def test_debounce() -> None:
    debounce = Debounce(2.0, 10.0)
    assert not debounce.is_due(5.0)
    for now in range(10):
        debounce.note(float(now))
        assert not debounce.is_due(now + 0.9)
    assert debounce.is_due(10.0) and debounce.is_due(11.1)
    debounce.reset()
    assert not debounce.is_due(99.0)
