"""An export as a source: which paths are one, its pages and counts, and the example."""

from __future__ import annotations

import errno
import json
import os
import re
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from ipc.posts import Channel
from tests.workers.sources.export.builders import message, photo, posts, refusal, write, write_text
from workers.sources.export import Census, Export, ExportError, fetch
from workers.sources.export.reading.stream import CHUNK_BYTES

EXAMPLE = Path(__file__).parents[5] / "examples" / "export"


class TestOpen:
    def test_takes_the_folder_or_the_file(self, tmp_path: Path) -> None:
        write(tmp_path)
        expected = Channel(42, "A channel")
        assert Export.open(tmp_path).channel == expected
        assert Export.open(tmp_path / "result.json").channel == expected

    @pytest.mark.parametrize(("spelled", "bare"), [(1234567890, 1234567890), (-1001234567890, 1234567890)])
    def test_channel_ids_become_bare(self, tmp_path: Path, spelled: int, bare: int) -> None:
        assert Export.open(write(tmp_path, id=spelled)).channel.id == bare

    def test_the_channel_may_come_after_the_messages(self, tmp_path: Path) -> None:
        write_text(tmp_path, '{"id": 42, "messages": [{"id": 1, "name": "no"}], "name": "Last"}')
        assert Export.open(tmp_path).channel == Channel(42, "Last")

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        assert "no such folder. Name an export's folder" in refusal(tmp_path / "nowhere")

    def test_a_folder_without_an_export(self, tmp_path: Path) -> None:
        assert "no result.json here. If Telegram Desktop is still exporting, wait" in refusal(tmp_path)

    def test_a_folder_of_exports(self, tmp_path: Path) -> None:
        (tmp_path / "ChatExport_2024-01-01").mkdir()
        write(tmp_path / "ChatExport_2024-01-01")
        assert f"such as {tmp_path / 'ChatExport_2024-01-01'}." in refusal(tmp_path)

    @pytest.mark.parametrize("named", [".", "messages.html"])
    def test_an_html_export(self, tmp_path: Path, named: str) -> None:
        (tmp_path / "messages.html").touch()
        assert re.search("HTML.*“Machine-readable JSON”", refusal(tmp_path / named))

    def test_an_unreadable_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        write(tmp_path)
        monkeypatch.setattr(Path, "open", denied)
        assert "can't be read (Permission denied). Let the user who runs this" in refusal(tmp_path)

    def test_a_fifo_for_a_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "result.json")
        assert "not a regular file" in refusal(tmp_path)

    @pytest.mark.parametrize("key", ["chats", "left_chats", "personal_information"])
    def test_a_whole_account(self, tmp_path: Path, key: str) -> None:
        write_text(tmp_path, json.dumps({"about": "…", key: {"list": []}}))
        assert "whole account. Export the one channel: its ⋮ menu → Export chat history." in refusal(tmp_path)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[]", "the top level is an array, not an object"),
            ("{}", "no 'id' and no 'name' and no 'messages'"),
            ('{"id": 1, "name": "x"}', "the top level has no 'messages'"),
            ('{"name": "x", "messages": []}', "the top level has no 'id'"),
            ('{"id": 1, "name": "x", "messages": {"item": {}}}', "'messages' is an object, not an array"),
            ('{"id": 1, "name": "x", "messages": null}', "'messages' is a null, not an array"),
            ('{"id": 1, "name": null, "messages": []}', "'name' is not a string: None"),
            *(
                (f'{{"id": {id}, "name": "x", "messages": []}}', "'id' is not a channel's id")
                for id in ('"1"', "0", "-100", "-5", "1.0", "true", "[1]", "null")
            ),
        ],
    )
    def test_a_top_level_that_is_no_export(self, tmp_path: Path, text: str, reason: str) -> None:
        told = refusal(write_text(tmp_path, text))
        assert told.startswith(f"{tmp_path / 'result.json'}: ")
        assert reason in told
        assert "Export the channel again" in told


class TestCensus:
    def test_progress_is_told_all_along(self, tmp_path: Path) -> None:
        calls: list[None] = []
        opened = Export.open(write(tmp_path, *(photo(id) if id % 2 else message(id) for id in range(1, 1001))))
        assert opened.census(lambda: calls.append(None)) == opened.census()
        assert len(calls) >= (tmp_path / "result.json").stat().st_size // CHUNK_BYTES > 0

    def test_progress_is_told_up_to_a_fault(self, tmp_path: Path) -> None:
        calls: list[None] = []
        opened = Export.open(write(tmp_path, photo(1), message(2), "text"))
        with pytest.raises(ExportError):
            opened.census(lambda: calls.append(None))
        assert calls

    def test_what_progress_raises_ends_the_census(self, tmp_path: Path) -> None:
        def stop() -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            Export.open(write(tmp_path, photo(1))).census(stop)


class TestPages:
    def test_size_range_and_counts(self, tmp_path: Path) -> None:
        every = [photo(id, date_unixtime=id) if id % 2 else message(id) for id in range(1, 8)]
        opened = Export.open(write(tmp_path, *every))
        pages = list(opened.pages(3))
        assert [(page.low, page.high) for page in pages] == [(1, 3), (4, 6), (7, 7)]
        assert not any(page.is_present for page in pages), "an export is how things were"
        assert [[post.message_id for post in page.posts] for page in pages] == [[1, 3], [5], [7]]
        assert [page.ignored for page in pages] == [{"text": 1}, {"text": 2}, {}]
        assert {page.channel for page in pages} == {opened.channel}
        assert opened.census() == Census(7, 4, {"text": 3})

    @pytest.mark.parametrize("size", [1, 2, 3, 200])
    def test_the_pages_cover_all_from_the_first_message_to_the_last(self, tmp_path: Path, size: int) -> None:
        """Messages that are gone leave gaps: these are known too. What came before the first one is not."""
        every = [photo(100), message(103), photo(250), photo(251, date_unixtime="1704067201"), message(900)]
        pages = list(Export.open(write(tmp_path, *every)).pages(size))
        assert (pages[0].low, pages[-1].high) == (100, 900)
        assert all(page.low <= page.high for page in pages)
        assert [later.low for later in pages[1:]] == [page.high + 1 for page in pages[:-1]]

    def test_a_page_of_a_group_s_earlier_life_covers_nothing(self, tmp_path: Path) -> None:
        every = [photo(-5), message(-4), message(-3), photo(7), photo(9, date_unixtime="1704067201")]
        opened = Export.open(write(tmp_path, *every))
        assert [(page.low, page.high) for page in opened.pages(2)] == [(1, 0), (1, 7), (8, 9)]
        assert [(page.low, page.high) for page in opened.pages()] == [(1, 9)]

    def test_an_empty_channel_has_no_page(self, tmp_path: Path) -> None:
        opened = Export.open(write(tmp_path))
        assert list(opened.pages()) == []
        assert opened.census() == Census(0, 0, {})

    def test_memory_stays_constant(self, tmp_path: Path) -> None:
        with (tmp_path / "result.json").open("w") as file:
            file.write('{"name": "x", "id": 42, "messages": [')
            for id in range(1, 5_001):
                file.write(("," if id > 1 else "") + json.dumps(photo(id, text="caption " * 512)))
            file.write("]}")
        assert (tmp_path / "result.json").stat().st_size > 20_000_000
        opened = Export.open(tmp_path)
        tracemalloc.start()
        try:
            assert opened.census().photos == 5_000
            assert sum(len(page.posts) for page in opened.pages()) == 5_000
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()


class TestExample:
    def test_shows_every_kind_once(self) -> None:
        opened = Export.open(EXAMPLE)
        assert opened.census() == Census(messages=15, photos=13, ignored={"service": 1, "text": 1})
        taken = {post.message_id: post for page in opened.pages() for post in page.posts}
        assert [post.grouped_id for post in taken.values()].count(3) == 3
        assert [id for id, post in taken.items() if "missing" in post.photo.locator] == [10]
        assert [id for id, post in taken.items() if post.edited_at] == [11]

    def test_declares_what_its_files_are(self, tmp_path: Path) -> None:
        digests: dict[int, str] = {}
        for post in posts(EXAMPLE):
            if post.message_id == 10:
                continue
            fetched = fetch(post.photo.locator, tmp_path / "picture", 1_500_000)
            with Image.open(tmp_path / "picture") as picture:
                assert picture.get_format_mimetype() == post.photo.mime
                assert picture.size == (post.photo.width, post.photo.height)
                picture.load()
            assert fetched.bytes == post.photo.bytes
            digests[post.message_id] = fetched.sha256
        assert digests[5] == digests[15]
        assert len(set(digests.values())) == 11

    def test_every_file_belongs_to_a_message(self) -> None:
        text = (EXAMPLE / "result.json").read_text()
        for file in [*EXAMPLE.glob("photos/*"), *EXAMPLE.glob("files/*")]:
            assert str(file.relative_to(EXAMPLE)) in text
