"""What a message says besides its text: the formatting, whom it was forwarded from, what it answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from telethon.tl import types

from ipc.intake import digest_of
from ipc.posts import Post, clean
from tests.workers.sources.export.builders import only_post, photo, posts, refusal, write, write_text
from workers.sources.export.reading.messages import read_message
from workers.sources.telegram.wire import media

BIG = 2**63 - 1
NO_WORDS: list[object] = ["", None, 5, True, ["A"], {"name": "A"}]
NO_NUMBERS: list[object] = [0, -1, 1.0, 1e300, True, None, "-1", "five", [5], {}]
NO_DOCUMENTS = [*NO_NUMBERS, "", "(unavailable)", "stickers/a.tgs", "0", str(BIG + 1), "9" * 5000, "٣"]
NO_PEERS = [*NO_NUMBERS, *NO_WORDS, "chat5", "user", "user0", "user-5", "xuser5", "user5 ", "user٣", f"user{BIG + 1}"]
OTHER_CHATS: list[object] = ["channel43", "channel421", "channel", "user42", "chat42", 42, "", []]


def entity(kind: str, offset: int, length: int, **more: object) -> dict[str, object]:
    return {"type": kind, "offset": offset, "length": length, **more}


def bold(text: object, **more: object) -> dict[str, object]:
    return {"type": "bold", "text": text, **more}


def of_type(kind: object, **more: object) -> dict[str, object]:
    return {"type": kind, "text": "word", **more}


class TestEntities:
    @pytest.mark.parametrize("key", ["text", "text_entities"])
    @pytest.mark.parametrize(
        ("pieces", "caption", "entities"),
        [
            ("word", "word", ()),
            ([], "", ()),
            (["word"], "word", ()),
            ([{"type": "plain", "text": "word"}], "word", ()),
            ([bold("word")], "word", (entity("bold", 0, 4),)),
            (["a ", bold("b"), " c"], "a b c", (entity("bold", 2, 1),)),
            ([{"type": "plain", "text": "a "}, bold("b")], "a b", (entity("bold", 2, 1),)),
            ([bold("a"), bold("b")], "ab", (entity("bold", 0, 1), entity("bold", 1, 1))),
            (["é\n", bold("字")], "é\n字", (entity("bold", 2, 1),)),
            (["😀", bold("b")], "😀b", (entity("bold", 2, 1),)),
            ([bold("👩‍👧"), bold("b")], "👩‍👧b", (entity("bold", 0, 5), entity("bold", 5, 1))),
            (["a\0b", bold("c\0")], "a\ufffdbc\ufffd", (entity("bold", 3, 2),)),
            (["a\ud83d", bold("\ude00c"), bold("d")], "a\ufffd\ufffdcd", (entity("bold", 2, 2), entity("bold", 4, 1))),
            ([bold(""), "a", bold(""), bold("b")], "ab", (entity("bold", 1, 1),)),
            (["a", {"text": "b"}], "ab", ()),
            ([of_type("a new one")], "word", (entity("a new one", 0, 4),)),
            ([of_type("a\0b\ud800")], "word", (entity("a\ufffdb\ufffd", 0, 4),)),
            ([of_type("blockquote", collapsed=True)], "word", (entity("blockquote", 0, 4),)),
        ],
    )
    def test_are_told_in_utf_16_units(
        self, tmp_path: Path, key: str, pieces: object, caption: str, entities: tuple[object, ...]
    ) -> None:
        post = only_post(tmp_path, **{key: pieces})
        assert post.caption == caption
        assert post.entities == entities
        assert digest_of(post)

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({"href": "https://example.org/é"}, {"url": "https://example.org/é"}),
            ({"href": "a\0b\ud83d"}, {"url": "a\ufffdb\ufffd"}),
            ({"language": "python"}, {"language": "python"}),
            ({"language": "\0"}, {"language": "\ufffd"}),
            ({"user_id": 777000}, {"user_id": 777000}),
            ({"user_id": BIG}, {"user_id": BIG}),
            ({"document_id": "5368324170671202286"}, {"document_id": 5368324170671202286}),
            ({"document_id": 5368324170671202286}, {"document_id": 5368324170671202286}),
            *(({key: strange}, {}) for key in ("href", "language") for strange in NO_WORDS),
            *(({"user_id": strange}, {}) for strange in NO_NUMBERS),
            *(({"document_id": strange}, {}) for strange in NO_DOCUMENTS),
        ],
    )
    def test_what_a_type_needs_is_told_if_it_is_sound(
        self, tmp_path: Path, given: dict[str, object], told: dict[str, object]
    ) -> None:
        assert only_post(tmp_path, text=[of_type("a", **given)]).entities == (entity("a", 0, 4, **told),)

    @pytest.mark.parametrize("strange", [5, None, [], {}])
    def test_a_type_that_is_no_string_is_refused(self, tmp_path: Path, strange: object) -> None:
        told = refusal(write(tmp_path, photo(7, text_entities=[of_type(strange)])))
        assert f"message 7: the 'type' of a piece of its text is not a string: {strange}" in told

    def test_both_keys_together_tell_it_once(self, tmp_path: Path) -> None:
        post = only_post(tmp_path, text=["a", bold("b")], text_entities=[{"type": "plain", "text": "a"}, bold("b")])
        assert (post.caption, post.entities) == ("ab", (entity("bold", 1, 1),))

    def test_the_old_escapes_do_not_shift_them(self, tmp_path: Path) -> None:
        write(tmp_path, photo(1, text=["A~B", bold("C~"), "~", bold("D")]))
        raw = (tmp_path / "result.json").read_text()
        (post,) = posts(write_text(tmp_path, raw.replace("~", r"\x1F\ud83d\ud83d\ude00\x00")))
        shown = [post.caption.encode("utf-16-le")[2 * e["offset"] :][: 2 * e["length"]] for e in post.entities]
        assert [one.decode("utf-16-le") for one in shown] == ["C\x1f\ufffd😀\ufffd", "D"]

    def test_the_members_of_an_album_keep_their_own(self, tmp_path: Path) -> None:
        first, second = posts(write(tmp_path, photo(1, text=[bold("a")]), photo(2, reply_to_message_id=1)))
        assert (first.grouped_id, first.entities) == (1, (entity("bold", 0, 1),))
        assert (second.grouped_id, second.entities, second.reply_to) == (1, (), 1)

    TEXTS = st.text(st.sampled_from("😀\0\ud83d\ude00é") | st.characters(exclude_categories=()), max_size=6)
    PIECES = st.lists(TEXTS | st.tuples(st.sampled_from(["plain", "bold", "italic"]), TEXTS), max_size=8)

    @given(PIECES)
    @example([("bold", "😀"), "\0\ud83d", ("italic", "\ude00"), ("plain", "😀"), ("bold", "é")])
    def test_cut_the_formatted_pieces_out_of_the_caption(self, pieces: list[str | tuple[str, str]]) -> None:
        whole = [("plain", piece) if isinstance(piece, str) else piece for piece in pieces]
        written = [one if isinstance(one, str) else {"type": one[0], "text": one[1]} for one in pieces]
        for key in ("text", "text_entities"):
            post = read_message(photo(1, **{key: written}), 42, Path("/")).post
            assert post
            units = post.caption.encode("utf-16-le")
            cut = [(e["type"], units[2 * e["offset"] : 2 * (e["offset"] + e["length"])]) for e in post.entities]
            expected = [(kind, clean(text)) for kind, text in whole if kind != "plain" and text]
            assert [(kind, text.decode("utf-16-le")) for kind, text in cut] == expected
            assert post.caption == clean("".join(text for _, text in whole))


class TestAsSeenLive:
    """The same message, read from Telegram and from an export, says the same."""

    AT = datetime(2024, 1, 1, tzinfo=UTC)

    def live(self, **fields: Any) -> Post:
        picture = types.Photo(5, 6, b"", self.AT, [types.PhotoSize("x", 4, 3, 9)], dc_id=1)
        seen = types.Message(1, types.PeerChannel(42), self.AT, media=types.MessageMediaPhoto(photo=picture), **fields)
        post = media.read_message(seen, 42, previews=False).post
        assert post
        return post

    @pytest.mark.parametrize(
        ("seen", "exported"),
        [
            (types.MessageEntityBankCard, of_type("bank_card")),
            (types.MessageEntityBlockquote, of_type("blockquote", collapsed=False)),
            (types.MessageEntityBold, of_type("bold")),
            (types.MessageEntityBotCommand, of_type("bot_command")),
            (types.MessageEntityCashtag, of_type("cashtag")),
            (types.MessageEntityCode, of_type("code")),
            (lambda *at: types.MessageEntityCustomEmoji(*at, 53683), of_type("custom_emoji", document_id="53683")),
            (types.MessageEntityEmail, of_type("email")),
            (types.MessageEntityHashtag, of_type("hashtag")),
            (types.MessageEntityItalic, of_type("italic")),
            (types.MessageEntityMention, of_type("mention")),
            (lambda *at: types.MessageEntityMentionName(*at, 777000), of_type("mention_name", user_id=777000)),
            (types.MessageEntityPhone, of_type("phone")),
            (lambda *at: types.MessageEntityPre(*at, "c"), of_type("pre", language="c")),
            (lambda *at: types.MessageEntityPre(*at, ""), of_type("pre", language="")),
            (types.MessageEntitySpoiler, of_type("spoiler")),
            (types.MessageEntityStrike, of_type("strikethrough")),
            (lambda *at: types.MessageEntityTextUrl(*at, "https://y"), of_type("text_link", href="https://y")),
            (types.MessageEntityUnderline, of_type("underline")),
            (types.MessageEntityUnknown, of_type("unknown")),
            (types.MessageEntityUrl, of_type("link")),
        ],
    )
    def test_formatting(self, tmp_path: Path, seen: Any, exported: object) -> None:
        live = self.live(message="é😀 word!", entities=[seen(4, 4)])
        post = only_post(tmp_path, text_entities=[{"type": "plain", "text": "é😀 "}, exported, "!"])
        assert (post.caption, post.entities) == (live.caption, live.entities)

    @pytest.mark.parametrize(
        ("seen", "exported"),
        [
            ({"from_name": "A name"}, {"forwarded_from": "A name"}),
            ({"from_id": types.PeerChannel(7)}, {"forwarded_from": None, "forwarded_from_id": "channel7"}),
            ({"from_id": types.PeerUser(7)}, {"forwarded_from": None, "forwarded_from_id": "user7"}),
        ],
    )
    def test_a_forward(self, tmp_path: Path, seen: dict[str, Any], exported: dict[str, object]) -> None:
        live = self.live(message="", fwd_from=types.MessageFwdHeader(date=self.AT, **seen))
        assert live.forwarded_from
        told = {name: value for name, value in live.forwarded_from.items() if name != "date"}
        assert only_post(tmp_path, **exported).forwarded_from == told

    def test_a_reply(self, tmp_path: Path) -> None:
        live = self.live(message="", reply_to=types.MessageReplyHeader(reply_to_msg_id=5))
        assert only_post(tmp_path, reply_to_message_id=5).reply_to == live.reply_to == 5


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, None),
        ({"forwarded_from": "A name"}, {"name": "A name"}),
        ({"forwarded_from": "A\0\ud83d"}, {"name": "A\ufffd\ufffd"}),
        ({"forwarded_from": None}, None),
        ({"forwarded_from": None, "forwarded_from_id": "channel123"}, {"channel_id": 123}),
        ({"forwarded_from": "A", "forwarded_from_id": "channel123"}, {"name": "A", "channel_id": 123}),
        ({"forwarded_from": "A", "forwarded_from_id": "user456"}, {"name": "A", "user_id": 456}),
        ({"forwarded_from_id": f"user{BIG}"}, {"user_id": BIG}),
        ({"saved_from": "B"}, {"name": "B"}),
        ({"saved_from": "B", "forwarded_from": None}, {"name": "B"}),
        ({"saved_from": "B", "forwarded_from": "A"}, {"name": "A"}),
        ({"saved_from": "B", "forwarded_from": None, "forwarded_from_id": "user456"}, {"user_id": 456}),
        *(({key: strange}, None) for key in ("forwarded_from", "saved_from") for strange in NO_WORDS),
        *(({"forwarded_from": "A", "forwarded_from_id": strange}, {"name": "A"}) for strange in NO_PEERS),
    ],
)
def test_whom_it_was_forwarded_from(tmp_path: Path, fields: dict[str, object], told: object) -> None:
    post = only_post(tmp_path, **fields)
    assert post.forwarded_from == told
    assert digest_of(post)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, None),
        ({"reply_to_message_id": 5}, 5),
        ({"reply_to_message_id": BIG}, BIG),
        ({"reply_to_message_id": 5, "reply_to_peer_id": None}, 5),
        ({"reply_to_message_id": 5, "reply_to_peer_id": "channel42"}, 5),
        *(({"reply_to_message_id": 5, "reply_to_peer_id": other}, None) for other in OTHER_CHATS),
        ({"reply_to_peer_id": "channel42"}, None),
        *(({"reply_to_message_id": strange}, None) for strange in [*NO_NUMBERS, "5"]),
    ],
)
def test_which_message_it_answers(tmp_path: Path, fields: dict[str, object], told: int | None) -> None:
    assert only_post(tmp_path, **fields).reply_to == told
