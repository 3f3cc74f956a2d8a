"""How a picture's bytes are found and copied, and what can't be had, for good or for now."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import stat
from pathlib import Path

import pytest

from tests.workers.sources.export.builders import LEFT_OUT
from workers.sources.export import MissingFile, fetch
from workers.sources.export.fetching.files import CHUNK_BYTES


class TestFetch:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "export" / "photos").mkdir(parents=True)
        (tmp_path / "secret").write_bytes(b"secret")
        return tmp_path / "export"

    def refused(self, folder: Path, file: str, max_bytes: int = 100) -> str:
        target = folder.parent / "target"
        with pytest.raises(MissingFile) as caught:
            fetch({"export": str(folder), "file": file}, target, max_bytes)
        assert not target.exists()
        return str(caught.value)

    @pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
    def test_copies_and_hashes(self, folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
        content = os.urandom(size)
        (folder / "photos" / "a.jpg").write_bytes(content)
        target = folder.parent / "target"
        fetched = fetch({"export": str(folder), "file": "photos/a.jpg"}, target, size)
        assert (fetched.sha256, fetched.bytes) == (hashlib.sha256(content).hexdigest(), size)
        assert target.read_bytes() == content
        assert synced == [size]

    def test_not_included(self, tmp_path: Path) -> None:
        with pytest.raises(MissingFile, match=re.escape(f"not in the export: {LEFT_OUT}")):
            fetch({"export": str(tmp_path), "missing": LEFT_OUT}, tmp_path / "target", 1)

    @pytest.mark.parametrize("name", ["photos/a.jpg", "no/a.jpg", "a" * 300, "a\0b"])
    def test_no_such_file(self, folder: Path, name: str) -> None:
        assert "no such file" in self.refused(folder, name)

    def test_a_file_for_a_folder(self, folder: Path) -> None:
        (folder / "file").touch()
        assert "no such file" in self.refused(folder, "file/a.jpg")

    @pytest.mark.parametrize("name", ["../secret", "photos/../../secret", "..", "/etc/passwd"])
    def test_no_way_out_by_name(self, folder: Path, name: str) -> None:
        assert f"outside of the export's folder: {name}" == self.refused(folder, name)

    def test_no_way_out_by_an_absolute_path_into_it(self, folder: Path) -> None:
        (folder / "a.jpg").touch()
        assert "outside" in self.refused(folder, str(folder / "a.jpg"))

    def test_no_way_out_by_a_like_named_neighbour(self, folder: Path) -> None:
        (folder.parent / "export2").write_bytes(b"x")
        assert "outside" in self.refused(folder, "../export2")

    def test_no_way_out_by_symlink(self, folder: Path) -> None:
        (folder / "file.jpg").symlink_to(folder.parent / "secret")
        (folder / "up").symlink_to("..")
        assert "outside" in self.refused(folder, "file.jpg")
        assert "outside" in self.refused(folder, "up/secret")

    def test_a_symlink_inside_is_followed(self, folder: Path) -> None:
        (folder / "photos" / "a.jpg").write_bytes(b"picture")
        (folder / "b.jpg").symlink_to("photos/a.jpg")
        (folder.parent / "link").symlink_to(folder)
        target = folder.parent / "target"
        assert fetch({"export": str(folder.parent / "link"), "file": "b.jpg"}, target, 100).bytes == 7

    @pytest.mark.timeout(10)
    def test_only_regular_files(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.mkfifo(folder / "fifo")
        (folder / "loop").symlink_to("loop")
        monkeypatch.chdir(folder)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
        for name in ("fifo", "socket", "photos", "", "loop"):
            assert f"not a regular file: {name}" == self.refused(folder, name)

    def test_too_large(self, folder: Path) -> None:
        (folder / "a.jpg").write_bytes(bytes(200_000))
        assert self.refused(folder, "a.jpg") == "too large: 200000 bytes, at most 100 (MAX_IMAGE_SIZE_BYTES)"

    def test_grows_too_large_meanwhile(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "a.jpg").write_bytes(bytes(101))
        real = os.fstat
        seen = os.stat_result([*real(0)[:6], 5, *real(0)[7:]])
        monkeypatch.setattr(stat, "S_ISREG", lambda mode: True)
        monkeypatch.setattr(os, "fstat", lambda fd: seen)
        assert "too large: 101 bytes" in self.refused(folder, "a.jpg")

    @pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.EMFILE])
    def test_what_may_pass_is_an_oserror(self, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        def fails(*_: object) -> int:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "open", fails)
        with pytest.raises(OSError, match=re.escape(os.strerror(code))):
            fetch({"export": str(folder), "file": "a.jpg"}, folder.parent / "target", 1)

    def test_a_disk_that_is_not_mounted_may_pass(self, folder: Path) -> None:
        with pytest.raises(FileNotFoundError, match="the export's folder is not there"):
            fetch({"export": str(folder / "gone"), "file": "a.jpg"}, folder.parent / "target", 1)

    def test_a_full_disk_leaves_nothing(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        (folder / "a.jpg").write_bytes(b"x")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            fetch({"export": str(folder), "file": "a.jpg"}, folder.parent / "target", 100)
        assert not (folder.parent / "target").exists()
