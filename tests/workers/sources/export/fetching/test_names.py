"""How a picture is found whose name the disk spells differently, and when it is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

import pytest

from workers.sources.export import MissingFile, fetch
from workers.sources.export.fetching import names
from workers.sources.export.fetching.names import spelled

COMPOSED, DECOMPOSED = normalize("NFC", "files/é ü 가.jpg"), normalize("NFD", "files/é ü 가.jpg")
MIXED = normalize("NFC", "files/é ") + normalize("NFD", "ü 가.jpg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


def make(root: Path, *files: str, size: int = 3) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(os.urandom(size))


@pytest.mark.parametrize(
    ("on_disk", "named"),
    [
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        (DECOMPOSED, MIXED),
        (MIXED, COMPOSED),
        ("PHOTOS/PHOTO_1@01-02-2025.JPG", "photos/photo_1@01-02-2025.jpg"),
        ("photos/photo_1.jpg", "photos/PHOTO_1.JPG"),
        ("Photos/Straße.jpg", "photos/STRASSE.jpg"),
        (normalize("NFD", "FILES/É.JPG"), normalize("NFC", "files/é.jpg")),
        ("files/ΣΟΦΟΣ.jpg", "files/σοφος.jpg"),
    ],
)
def test_another_spelling_is_found(on_disk: str, named: str, root: Path, tmp_path: Path) -> None:
    make(root, on_disk, "other/é.jpg", "other/photo_2.jpg")
    assert spelled(root, named) == on_disk
    assert fetch({"export": str(root), "file": named}, tmp_path / "target", 10, 3).bytes == 3
    assert (tmp_path / "target").read_bytes() == (root / on_disk).read_bytes()


@pytest.mark.parametrize(
    ("on_disk", "named", "found"),
    [
        (["a.jpg", "A.jpg"], "a.jpg", "a.jpg"),
        ([COMPOSED, DECOMPOSED], COMPOSED, COMPOSED),
        (
            ["files/É.jpg", normalize("NFD", "files/é.jpg")],
            normalize("NFC", "files/é.jpg"),
            normalize("NFD", "files/é.jpg"),
        ),
        (["A.jpg", "a.JPG"], "a.jpg", None),
        ([COMPOSED, DECOMPOSED], MIXED, None),
        (["A/1.jpg", "a/2.jpg"], "a/1.jpg", None),
        (["b.jpg"], "a.jpg", None),
        ([], "a/b/c.jpg", None),
        (["a"], "a/b.jpg", None),
        (["a"], "A/b.jpg", None),
    ],
)
def test_the_exact_name_goes_first_and_what_is_ambiguous_is_not_found(
    on_disk: list[str], named: str, found: str | None, root: Path, tmp_path: Path
) -> None:
    make(root, *on_disk)
    assert spelled(root, named) == (found or named)
    if found is None:
        with pytest.raises(MissingFile, match="no such file"):
            fetch({"export": str(root), "file": named}, tmp_path / "target", 10)


def test_in_another_case_it_must_have_the_size_that_was_declared(root: Path) -> None:
    make(root, "files/A.jpg", DECOMPOSED, size=3)
    assert [spelled(root, "files/a.jpg", size) for size in (None, 3, 4)] == [
        "files/A.jpg",
        "files/A.jpg",
        "files/a.jpg",
    ]
    assert spelled(root, COMPOSED, 4) == DECOMPOSED, "the letters are the same: what was declared is no promise"


def test_no_way_out_by_another_spelling(root: Path, tmp_path: Path) -> None:
    make(tmp_path, "secret/É.jpg")
    (root / "Up").symlink_to("..")
    (root / "Out.jpg").symlink_to(tmp_path / "secret" / "É.jpg")
    for name in ("up/secret/é.jpg", "Up/secret/é.jpg", "../secret/é.jpg", str(tmp_path / "secret/é.jpg"), "out.jpg"):
        with pytest.raises(MissingFile, match=r"outside of the export's folder|no such file"):
            fetch({"export": str(root), "file": name}, tmp_path / "target", 10)
    assert not (tmp_path / "target").exists()


def test_a_link_to_a_folder_inside_is_followed(root: Path) -> None:
    make(root, "real/É.jpg")
    (root / "link").symlink_to("real")
    assert spelled(root, "LINK/é.jpg") == "link/É.jpg"


def test_a_folder_is_read_once_until_it_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or an export of a hundred thousand files, of which many are missing or in capitals, would take hours."""
    read: list[Path] = []
    real = names._names

    def note(folder: Path) -> Iterator[str]:
        read.append(folder)
        return real(folder)

    monkeypatch.setattr(names, "_names", note)
    make(root, *(f"PHOTO_{number}.JPG" for number in range(50)))
    names._marks.cache_clear()
    assert [spelled(root, f"photo_{number}.jpg") for number in range(60)] == [
        *(f"PHOTO_{number}.JPG" for number in range(50)),
        *(f"photo_{number}.jpg" for number in range(50, 60)),
    ]
    assert len(read) == 1
    make(root, "PHOTO_55.JPG")
    os.utime(root, ns=(1, 1))
    assert spelled(root, "photo_55.jpg") == "PHOTO_55.JPG"
    assert len(read) == 2
