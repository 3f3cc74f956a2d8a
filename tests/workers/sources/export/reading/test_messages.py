"""What a message means: what is taken, what is counted, what is refused, and what is an album."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from ipc.posts import Page
from tests.workers.sources.export.builders import LEFT_OUT, message, only_post, photo, posts, refusal, write
from workers.sources.export import Census, Export, ExportError

TOO_BIG = "(File exceeds maximum size. Change data exporting settings to download.)"


class TestStructure:
    @pytest.mark.parametrize(
        ("bad", "named", "reason"),
        [
            ("text", "message number 2", "not an object"),
            (photo("2"), "message number 2", "'id' is not a message's id: '2'"),
            (photo(0), "message 0", "'id' is not"),
            (photo(True), "message number 2", "'id' is not"),
            (photo(2.0), "message number 2", "'id' is not"),
            (photo(2, type=5), "message 2", "'type' is not a string: 5"),
            (photo(2, photo=5), "message 2", "'photo' is not a string: 5"),
            (message(2, file=["x"], mime_type="image/png"), "message 2", "'file' is not a string"),
            (photo(2, date_unixtime=None), "message 2", "neither 'date_unixtime' nor 'date' is there"),
            (photo(2, date_unixtime="soon"), "message 2", "'date_unixtime' is not a time: 'soon'"),
            (photo(2, date_unixtime="-5"), "message 2", "'date_unixtime' is not a time"),
            (photo(2, date_unixtime=10**15), "message 2", "'date_unixtime' is not a time"),
            (photo(2, date_unixtime=None, date="1 May"), "message 2", "'date' is not a date: '1 May'"),
            (photo(2, edited_unixtime="x"), "message 2", "'edited_unixtime' is not a time"),
            (photo(2, text=5), "message 2", "neither a string nor an array: 5"),
            (photo(2, text=["a", {"type": "x"}]), "message 2", "a piece of its text is not a string: None"),
            (photo(2, text_entities=[7]), "message 2", "a piece of its text is not a string: 7"),
            (photo(1), "message 1", "it comes after message 1, but ids must ascend"),
            (message(1), "message 1", "it comes after message 1, but ids must ascend"),
        ],
    )
    def test_a_malformed_message_is_refused_by_name(self, tmp_path: Path, bad: object, named: str, reason: str) -> None:
        write(tmp_path, photo(1), bad)
        told = refusal(tmp_path)
        assert told.startswith(f"{tmp_path / 'result.json'}: {named}: ")
        assert reason in told
        with pytest.raises(ExportError, match=re.escape(reason)):
            list(Export.open(tmp_path).pages())

    def test_a_long_value_does_not_flood_the_error(self, tmp_path: Path) -> None:
        assert len(refusal(write(tmp_path, photo(1, date_unixtime="x" * 100_000)))) < 1000


class TestWhatIsTaken:
    def test_a_photo(self, tmp_path: Path) -> None:
        fields = {"photo_file_size": 12345, "width": 1280, "height": 853, "edited_unixtime": "1704067260"}
        post = only_post(tmp_path, **fields)
        assert (post.channel_id, post.message_id, post.grouped_id) == (42, 1, None)
        assert (post.posted_at, post.edited_at) == (1704067200, 1704067260)
        name = "photos/photo_1@01-01-2024_00-00-00.jpg"
        assert post.photo.locator == {"export": str(tmp_path), "file": name}
        assert post.photo.identity == "file:photos/photo@01-01-2024_00-00-00.jpg:12345:1280x853"
        assert (post.photo.photo_id, post.photo.mime) == (None, "image/jpeg")
        assert (post.photo.bytes, post.photo.width, post.photo.height) == (12345, 1280, 853)

    def test_an_image_sent_as_a_file(self, tmp_path: Path) -> None:
        document = message(7, file="files/a (1).PNG", mime_type="image/PNG", file_size=99, width=5, height=4)
        (post,) = posts(write(tmp_path, document))
        assert post.photo.identity == "file:files/a (1).PNG:99:5x4"
        assert (post.photo.mime, post.photo.bytes) == ("image/png", 99)

    @pytest.mark.parametrize(
        ("fields", "kind"),
        [
            ({}, "text"),
            ({"photo": None}, "text"),
            ({"type": "service", "action": "edit_group_photo", "photo": "photos/a.jpg"}, "service"),
            ({"type": "unsupported", "date_unixtime": None}, "unsupported"),
            ({"type": "a new one"}, "other"),
            ({"file": "a.webp", "mime_type": "image/webp", "media_type": "sticker"}, "sticker"),
            ({"file": "a.mp4", "mime_type": "video/mp4", "media_type": "animation"}, "animation"),
            ({"file": "a.mp4", "mime_type": "video/mp4", "media_type": "video_file"}, "video"),
            ({"file": "a.mp4", "media_type": "video_message"}, "video_message"),
            ({"file": "a.ogg", "media_type": "voice_message"}, "voice_message"),
            ({"file": "a.mp3", "media_type": "audio_file"}, "audio"),
            ({"file": "a.x", "mime_type": "image/x", "media_type": "a new one"}, "other"),
            ({"file": "a.pdf", "mime_type": "application/pdf"}, "file"),
            ({"file": "a"}, "file"),
            ({"poll": {"question": "?"}}, "poll"),
            ({"location_information": {}, "place_name": "x"}, "location"),
            ({"paid_stars_amount": 5}, "paid"),
        ],
    )
    def test_other_kinds_are_counted(self, tmp_path: Path, fields: dict[str, Any], kind: str) -> None:
        opened = Export.open(write(tmp_path, message(3, **fields)))
        assert opened.census() == Census(messages=1, photos=0, ignored={kind: 1})
        assert list(opened.pages()) == [Page(opened.channel, (), 3, 3, {kind: 1})]

    @pytest.mark.parametrize("media_type", ["video_file", "animation"])
    def test_a_videos_thumbnail_if_asked_for(self, tmp_path: Path, media_type: str) -> None:
        video = {"file": "a.mp4", "media_type": media_type, "mime_type": "video/mp4", "width": 640, "height": 480}
        poster = {"thumbnail": "video_files/a.mp4_thumb.jpg", "thumbnail_file_size": 99}
        folder = write(
            tmp_path, message(1, **video, **poster), message(2, **video, thumbnail=LEFT_OUT), message(3, **video)
        )
        assert Export.open(folder).census().photos == 0
        census, (page,) = Export.open(folder, posters=True).census(), Export.open(folder, posters=True).pages()
        assert census.photos == 1 and sum(census.ignored.values()) == 2
        (post,) = page.posts
        assert post.photo.identity == "file:video_files/a.mp4_thumb.jpg:99:?x?"
        assert (post.photo.kind, post.photo.mime, post.photo.bytes) == ("video", "image/jpeg", 99)

    def test_a_video_is_of_the_album_of_its_neighbours(self, tmp_path: Path) -> None:
        video = message(2, file="a.mp4", media_type="video_file", thumbnail="a.jpg")
        pages = Export.open(write(tmp_path, photo(1), video), posters=True).pages()
        assert [post.grouped_id for page in pages for post in page.posts] == [1, 1]

    def test_a_gif_is_a_picture(self, tmp_path: Path) -> None:
        (post,) = posts(write(tmp_path, message(3, file="a.gif", mime_type="image/gif", media_type="animation")))
        assert (post.photo.mime, post.photo.kind) == ("image/gif", "photo")

    def test_a_group_s_earlier_life_is_not_the_channel_s(self, tmp_path: Path) -> None:
        opened = Export.open(write(tmp_path, photo(-999_999_990), photo(-999_999_989), photo(5)))
        assert opened.census() == Census(3, 1, {"migrated": 2})
        assert [(page.low, page.high) for page in opened.pages(1)] == [(1, 0), (1, 0), (1, 5)]

    @pytest.mark.parametrize("words", [LEFT_OUT, TOO_BIG, "(File unavailable, please try again later)"])
    def test_what_the_exporter_left_out_is_a_post(self, tmp_path: Path, words: str) -> None:
        folder = write(
            tmp_path,
            photo(1, photo=words, photo_file_size=5, width=4, height=3),
            message(2, file=f"a b.jpg {words}", mime_type="image/jpeg"),
        )
        first, second = posts(folder)
        assert first.photo.locator == second.photo.locator == {"export": str(tmp_path), "missing": words}
        assert (first.photo.identity, second.photo.identity) == ("missing:5:4x3", "missing:?:?x?")
        assert Export.open(folder).census().photos == 2

    def test_a_photo_without_a_name_is_a_post(self, tmp_path: Path) -> None:
        assert only_post(tmp_path, photo="").photo.locator["missing"] == "(no file named)"

    @pytest.mark.parametrize("strange", ["9", 0, -1, 1.5, True, None, [1]])
    def test_strange_sizes_are_passed_over(self, tmp_path: Path, strange: object) -> None:
        declared = only_post(tmp_path, width=strange, height=strange, photo_file_size=strange).photo
        assert (declared.width, declared.height, declared.bytes) == (None, None, None)

    def test_an_identity_outlives_a_move_and_a_new_numbering(self, tmp_path: Path) -> None:
        found = []
        for number, folder in enumerate([tmp_path / "here", tmp_path / "there"]):
            folder.mkdir()
            found.append(only_post(folder, photo=f"photos/photo_{number}@01-01-2024_00-00-00.jpg").photo)
        assert found[0].identity == found[1].identity
        assert found[0].locator != found[1].locator

    @pytest.mark.parametrize("change", [{"photo": "photos/b.jpg"}, {"photo_file_size": 6}, {"width": 6}, {"height": 6}])
    def test_an_identity_changes_with_the_picture(self, tmp_path: Path, change: dict[str, Any]) -> None:
        usual = {"photo_file_size": 5, "width": 5, "height": 5}
        before = only_post(tmp_path, **usual).photo.identity
        assert only_post(tmp_path, **{**usual, **change}).photo.identity != before

    @pytest.mark.parametrize(
        ("fields", "caption"),
        [
            ({"text": "plain\nlines"}, "plain\nlines"),
            ({"text": ["a ", {"type": "bold", "text": "b"}, " c"]}, "a b c"),
            ({"text": "old", "text_entities": [{"type": "plain", "text": "new"}]}, "new"),
            ({"text": "kept", "text_entities": []}, "kept"),
            ({"text_entities": [{"type": "text_link", "text": "x", "href": "https://y"}]}, "x"),
            ({"text": []}, ""),
            ({"text": None}, ""),
            ({"text": "\x00"}, "\ufffd"),
        ],
    )
    def test_captions(self, tmp_path: Path, fields: dict[str, Any], caption: str) -> None:
        assert only_post(tmp_path, **fields).caption == caption

    @pytest.mark.parametrize("given", [1704067200, "1704067200"])
    def test_dates_in_seconds(self, tmp_path: Path, given: object) -> None:
        assert only_post(tmp_path, date_unixtime=given, date="1999-01-01T00:00:00").posted_at == 1704067200

    def test_dates_of_old_exporters_are_read_as_utc(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        dates = {"date": "2024-01-01T00:00:00", "edited": "2024-01-01T00:01:00"}
        try:
            with monkeypatch.context() as here:
                here.setenv("TZ", "Asia/Tokyo")
                time.tzset()
                post = only_post(tmp_path, date_unixtime=None, **dates)
        finally:
            time.tzset()
        assert (post.posted_at, post.edited_at) == (1704067200, 1704067260)

    def test_edited_in_1970_means_never(self, tmp_path: Path) -> None:
        assert only_post(tmp_path, edited="1970-01-01T03:00:00").edited_at is None


class TestAlbums:
    def groups(self, folder: Path, *messages: object, size: int = 200) -> dict[int, int | None]:
        return {post.message_id: post.grouped_id for post in posts(write(folder, *messages), size)}

    def test_neighbours_of_one_second_are_an_album(self, tmp_path: Path) -> None:
        later = photo(4, date_unixtime="1704067201")
        assert self.groups(tmp_path, photo(1), photo(2), photo(3), later) == {1: 1, 2: 1, 3: 1, 4: None}

    @pytest.mark.parametrize(
        "other",
        [
            photo(2, from_id="channel7"),
            photo(2, forwarded_from="Someone"),
            photo(2, date_unixtime="1704067201"),
            message(2, file="files/a.png", mime_type="image/png"),
        ],
    )
    def test_what_differs_is_not_of_the_album(self, tmp_path: Path, other: object) -> None:
        assert self.groups(tmp_path, photo(1), other) == {1: None, 2: None}

    @pytest.mark.parametrize("between", [message(2), message(2, type="service")])
    def test_a_message_in_between_ends_the_album(self, tmp_path: Path, between: object) -> None:
        assert self.groups(tmp_path, photo(1), between, photo(3)) == {1: None, 3: None}

    def test_a_gap_in_the_ids_does_not(self, tmp_path: Path) -> None:
        assert self.groups(tmp_path, photo(1), photo(5)) == {1: 1, 5: 1}

    def test_ignored_neighbours_are_no_album(self, tmp_path: Path) -> None:
        folder = write(tmp_path, message(1), message(2), photo(3))
        assert [post.grouped_id for post in posts(folder)] == [None]

    def test_an_album_ends_at_ten(self, tmp_path: Path) -> None:
        expected = {id: 1 if id <= 10 else 11 for id in range(1, 13)}
        assert self.groups(tmp_path, *map(photo, range(1, 13))) == expected
        assert self.groups(tmp_path, *map(photo, range(1, 12)))[11] is None

    def test_files_left_out_belong_to_it_too(self, tmp_path: Path) -> None:
        assert self.groups(tmp_path, photo(1), photo(2, photo=LEFT_OUT)) == {1: 1, 2: 1}

    @pytest.mark.parametrize("size", range(1, 9))
    def test_pages_do_not_tear_an_album(self, tmp_path: Path, size: int) -> None:
        album = {"date_unixtime": "1704067205"}
        every = [photo(1), message(2), photo(3, **album), photo(4, **album), photo(5, **album), photo(6)]
        assert self.groups(tmp_path, *every, size=size) == {1: None, 3: 3, 4: 3, 5: 3, 6: None}
        last = 0
        for page in Export.open(tmp_path).pages(size):
            ids = [post.message_id for post in page.posts]
            assert all(last < id <= page.high for id in ids)
            assert not {3, 4, 5} & set(ids) or {3, 4, 5} <= set(ids)
            last = page.high
        assert last == 6
