"""The JSON stream: what is mended, and what is refused and where."""

from __future__ import annotations

import json
import re
from pathlib import Path

import ijson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.sources.export.builders import photo, posts, refusal, write, write_text
from workers.sources.export import Export, ExportError
from workers.sources.export.reading import stream
from workers.sources.export.reading.stream import MAX_DEPTH, EscapeRepair, Nesting, events, message_values


class TestSyntax:
    HEAD = '{\n "name": "é😀", "id": 42,\n "messages": [\n'
    ONE = json.dumps(photo(1))

    @pytest.mark.parametrize(
        ("text", "place", "reason"),
        [
            ("", "line 1, column 1", "the file ends too early"),
            ('{"id": 42,, "name": "x"}', "line 1, column 11", "not JSON"),
            ('{\n "name": "é😀", x}', "line 2, column 16", "not JSON"),
            (HEAD + ONE + "\n  " + ONE, "line 5, column 3", "not JSON"),
            (HEAD + ONE + ",\n]}", "line 5, column 1", "not JSON"),
            (HEAD + ONE + "]", "line 4, column " + str(len(ONE) + 2), "the file ends too early"),
            (HEAD + ONE + "\n]\n}\n}", "line 7, column 1", "not JSON"),
            (HEAD + ONE + "\n]\n} \\", "line 6, column 4", "not JSON"),
            (HEAD + '{"id": NaN}]}', "line 4, column 8", "not JSON"),
            (HEAD + r'{"a": "\q"}]}', "line 4, column 9", r"inside a string, '\' occurs before a character"),
            (HEAD + r'{"a": "\x1G"}]}', "line 4, column 11", "not JSON"),
            (HEAD + '{"a": "b\nc"}]}', "line 4, column 9", "not JSON"),
            (HEAD.encode() + b'{"a": "\xff"}]}', "line 4, column 8", "UTF"),
            (HEAD.encode() + b'{"a": "\xed\xa0\xbd"}]}', "line 4", "not UTF-8"),
            (HEAD + '{"a": ' + "9" * 5000 + "}]}", "line 4", "integer overflow"),
            (HEAD + '{"a": 1e99999999999999999999}]}', "line 4", "overflow"),
        ],
    )
    def test_is_refused_with_its_place(self, tmp_path: Path, text: str | bytes, place: str, reason: str) -> None:
        told = refusal(write_text(tmp_path, text))
        assert re.search(f": {place}[:,]", told), told
        assert reason in told
        assert "Export the channel again" in told

    @pytest.mark.parametrize("separator", [",", ",\n"], ids=["on one line", "on many"])
    def test_the_place_is_right_far_into_the_file(self, tmp_path: Path, separator: str) -> None:
        good = '{"name": "x", "id": 42, "messages": ['
        good += separator.join(json.dumps(photo(id, text="é\x07" * 9)) for id in range(1, 2000)) + "\n]"
        good = good.replace("\\u0007", "\\x07")
        assert len(good) > 5 * stream.CHUNK_BYTES
        told = refusal(write_text(tmp_path, good + "  oops}"))
        assert f"line {good.count(chr(10)) + 1}, column 4: " in told

    @pytest.mark.timeout(30)
    def test_the_place_is_found_in_time_behind_a_long_string(self, tmp_path: Path) -> None:
        good = self.HEAD + json.dumps(photo(1, text='"' * 225_000))
        assert f"line 4, column {len(good) - len(self.HEAD) + 3}: " in refusal(write_text(tmp_path, good + ", oops"))

    @pytest.mark.parametrize(
        "length", [0, 1, 255, 256, 257, *range(stream.CHUNK_BYTES - 60, stream.CHUNK_BYTES + 2, 7)]
    )
    def test_the_place_is_right_at_every_border(self, tmp_path: Path, length: int) -> None:
        good = '{"name": "' + "x" * length + '", "id": 42, "messages": ['
        assert f"line 1, column {len(good) + 1}: not JSON" in refusal(write_text(tmp_path, good + "oops]}"))

    def test_nothing_wrong_goes_unseen_behind_the_messages(self, tmp_path: Path) -> None:
        write_text(tmp_path, '{"name": "x", "id": 42, "messages": [], "more": }')
        Export.open(tmp_path)
        assert "line 1, column 49" in refusal(tmp_path)

    def test_a_byte_order_mark_is_passed_over(self, tmp_path: Path) -> None:
        write_text(tmp_path, b"\xef\xbb\xbf" + (write(tmp_path, photo(1)) / "result.json").read_bytes())
        assert len(posts(tmp_path)) == 1

    def test_a_monstrous_message_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream, "MAX_MESSAGE_BYTES", 300_000)
        assert len(posts(write(tmp_path, *(photo(id, text="x" * 200_000) for id in (1, 2, 3))))) == 3
        write(tmp_path, photo(1), photo(2), photo(3, text="x" * 900_000))
        assert "message number 3, 'text': longer than 300000 bytes" in refusal(tmp_path)
        write(tmp_path, photo(1), photo(2), photo(3, more=["x" * 20_000] * 40))
        assert "message number 3: longer than 300000 bytes" in refusal(tmp_path)

    @pytest.mark.parametrize("key", ["name", "about"])
    @pytest.mark.parametrize("is_first", [True, False])
    def test_a_monstrous_name_is_refused_by_its_own(
        self, tmp_path: Path, key: str, is_first: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And before it is read whole: the parser's time grows with the square of its length."""
        monkeypatch.setattr(stream, "MAX_VALUE_BYTES", 300_000)
        monkeypatch.setattr(stream, "MAX_MESSAGE_BYTES", 600_000)
        export = {"name": "x", "id": 42, key: "x" * 1_500_000}
        messages = {"messages": [photo(1)]}
        text = json.dumps({**export, **messages} if is_first else {**messages, **export})
        file = write_text(tmp_path, text) / "result.json"
        read = 0

        def progress() -> None:
            nonlocal read
            read += stream.CHUNK_BYTES

        with pytest.raises(ExportError) as caught:
            Export.open(tmp_path, progress).census(progress)
        said = str(caught.value)
        assert said.startswith(f"{file}: '{key}': longer than 300000 bytes, of {len(text)} of the file")
        assert read < 600_000 or not is_first


class TestValues:
    def values(self, folder: Path, text: str) -> list[object]:
        return list(message_values(write_text(folder, f'{{"id": 42, "messages": [{text}]}}') / "result.json"))

    @pytest.mark.parametrize("number", [0, 1, -5, 2**53 + 1, 2**63 - 1, -(2**63) + 1])
    def test_whole_numbers_stay_whole(self, tmp_path: Path, number: int) -> None:
        (value,) = self.values(tmp_path, str(number))
        assert type(value) is int
        assert value == number
        write_text(tmp_path, f'{{"id": {number}}}')
        (found,) = [value for prefix, _, value in events(tmp_path / "result.json") if prefix == "id"]
        assert type(found) is int
        assert found == number

    @pytest.mark.parametrize("text", ["1.0", "1e2", "-0.5"])
    def test_others_are_floats(self, tmp_path: Path, text: str) -> None:
        (value,) = self.values(tmp_path, text)
        assert type(value) is float
        assert value == float(text)

    def test_a_number_far_too_long_behind_the_messages_is_refused(self, tmp_path: Path) -> None:
        write_text(tmp_path, '{"name": "x", "id": 42, "messages": [], "more": ' + "9" * 5000 + "}")
        assert "integer overflow" in refusal(tmp_path)

    def test_ijson_is_the_fast_one(self) -> None:
        assert ijson.backend_name == "yajl2_c"


class TestNesting:
    HEAD = '{"name": "é", "id": 42,\n"messages": ['
    DEEP = 200_000  # levels; the parser alone would take minutes for these

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            (HEAD + "[" * DEEP, "line 2, column 76"),
            (HEAD + "[" * DEEP + "]" * DEEP + "]}", "line 2, column 76"),
            (HEAD + '{"a":' * DEEP, f"line 2, column {13 + 62 * 5 + 1}"),
            (HEAD + '{"é":\n[' * DEEP, "line 33, column 2"),
            (HEAD + json.dumps(photo(1)) + "],\n\n" + '"x": ' + "[" * DEEP, "line 4, column 69"),
            ("\ufeff" + HEAD + "[" * DEEP, "line 2, column 76"),
        ],
    )
    def test_too_much_of_it_is_refused_with_its_place(self, tmp_path: Path, text: str, place: str) -> None:
        told = refusal(write_text(tmp_path, text))
        assert told.startswith(f"{tmp_path / 'result.json'}: {place}: nested more than 64 levels deep. Export the ")

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize("start", ["[", '{"a":'])
    def test_too_much_of_it_is_refused_before_the_messages_too(self, tmp_path: Path, start: str) -> None:
        write_text(tmp_path, '{"more": ' + start * self.DEEP)
        with pytest.raises(ExportError, match="nested more than 64 levels deep"):
            Export.open(tmp_path)

    @pytest.mark.parametrize("levels", [1, MAX_DEPTH - 3, MAX_DEPTH - 2])
    def test_what_is_not_too_deep_is_taken(self, tmp_path: Path, levels: int) -> None:
        inner = "[" * (levels - 1) + "]" * (levels - 1) or "0"
        text = f'{self.HEAD}{json.dumps(photo(1))[:-1]}, "x": {inner}}}]}}'
        assert len(posts(write_text(tmp_path, text))) == 1

    def test_one_level_more_is_not(self, tmp_path: Path) -> None:
        inner = "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2)
        assert "levels deep" in refusal(write_text(tmp_path, f'{self.HEAD}{{"id": 1, "x": {inner}}}]}}'))

    def test_brackets_of_a_text_are_none(self, tmp_path: Path) -> None:
        text = "[" * 100_000 + '"{' * 100 + "\\[" * 100
        (post,) = posts(write(tmp_path, photo(1, text=[text, {"type": "bold", "text": text}])))
        assert post.caption == 2 * text

    def test_neighbours_are_not_in_each_other(self, tmp_path: Path) -> None:
        assert len(posts(write(tmp_path, *(photo(id, x=[[], {}]) for id in range(1, 1000))))) == 999

    def test_a_fault_that_comes_first_is_told_first(self, tmp_path: Path) -> None:
        told = refusal(write_text(tmp_path, self.HEAD + "oops" + "[" * self.DEEP))
        assert "line 2, column 14: not JSON" in told

    CASES = (
        (b"[[[", 2),
        (b"[[]]", None),
        (b"[[][[", 4),
        (b'[{"a": {}}]', 7),
        (b'"[[[[" [] [[', None),
        (b'"[[[[", [] [[[', 13),
        (rb'"\\"[[[', 6),
        (rb'"\"[[[', None),
        (rb'"\\\"[[["[[[', 11),
        (rb'"\u005b\"" [[{', 13),
        (b"", None),
    )

    @pytest.mark.parametrize(("given", "expected"), CASES)
    def test_at_every_split(self, given: bytes, expected: int | None) -> None:
        for i in range(len(given) + 1):
            for j in range(i, len(given) + 1):
                assert self.found(given[:i], given[i:j], given[j:]) == expected
        assert self.found(*(bytes([byte]) for byte in given)) == expected

    @staticmethod
    def found(*pieces: bytes) -> int | None:
        nesting, before = Nesting(2), 0
        for piece in pieces:
            if (at := nesting.feed(piece)) is not None:
                return before + at
            before += len(piece)
        return None

    JSON = st.recursive(
        st.none() | st.text(alphabet='[]{}"\\aé'),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\a'), inner, max_size=3),
        max_leaves=12,
    )

    @given(JSON, st.integers(1, 9))
    def test_is_that_of_the_value(self, value: object, step: int) -> None:
        def depth(value: object) -> int:
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
            return 0 if inner is None else 1 + max(map(depth, inner), default=0)

        raw = json.dumps(value, ensure_ascii=False).encode()
        pieces = [raw[i : i + step] for i in range(0, len(raw), step)]
        for limit in (depth(value) - 1, depth(value)):
            nesting = Nesting(limit)
            refused = any(nesting.feed(piece) is not None for piece in pieces)
            assert refused is (0 <= limit < depth(value))


class TestProgress:
    @pytest.mark.parametrize("text", ["x" * 2_000_000, ["x", {"type": "bold", "text": "y"}] * 40_000])
    def test_is_told_within_one_giant_message(self, tmp_path: Path, text: object) -> None:
        calls: list[None] = []
        opened = Export.open(write(tmp_path, photo(1, text=text)))
        opened.census(lambda: calls.append(None))
        assert len(calls) >= (tmp_path / "result.json").stat().st_size // stream.CHUNK_BYTES > 20

    def test_is_told_while_the_channel_is_looked_for(self, tmp_path: Path) -> None:
        calls: list[None] = []
        write_text(tmp_path, f'{{"id": 42, "messages": ["{"x" * 2_000_000}"], "name": "Last"}}')
        Export.open(tmp_path, lambda: calls.append(None))
        assert len(calls) > 20

    @pytest.mark.parametrize("fault", ["oops", "[" * 100], ids=["not JSON", "too deep"])
    def test_is_told_while_a_fault_s_place_is_looked_for(self, tmp_path: Path, fault: str) -> None:
        calls: list[None] = []
        write_text(tmp_path, f'{{"name": "x", "id": 42, "messages": ["{"x" * 2_000_000}", {fault}')
        with pytest.raises(ExportError):
            list(message_values(tmp_path / "result.json", lambda: calls.append(None)))
        assert len(calls) > 55


class TestEscapeRepair:
    CASES = (
        (rb'"\x1F"', rb'"\u001F"'),
        (rb'"\\x1F"', rb'"\\x1F"'),
        (rb'"\\\x0a"', rb'"\\\u000a"'),
        (rb'"\\\\x0a"', rb'"\\\\x0a"'),
        (rb'"\n\"\u00e9\/"', rb'"\n\"\u00e9\/"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\uD83D!"', rb'"\ufffd!"'),
        (rb'"\ud83d\n"', rb'"\ufffd\n"'),
        (rb'"\ud83d\\ude00"', rb'"\ufffd\\ude00"'),
        (rb'"\ude00"', rb'"\ufffd"'),
        (rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\ud83d\u00e9"', rb'"\ufffd\u00e9"'),
        (rb'"\ud83d\x07"', rb'"\ufffd\u0007"'),
        (rb'"\xzz\u12"', rb'"\xzz\u12"'),
        (rb'"C:\\\\xerox \\\\"', rb'"C:\\\\xerox \\\\"'),
    )

    @staticmethod
    def repaired(*pieces: bytes) -> bytes:
        repair = EscapeRepair()
        return b"".join(map(repair.feed, pieces)) + repair.end()

    @pytest.mark.parametrize(("given", "expected"), CASES)
    def test_at_every_split(self, given: bytes, expected: bytes) -> None:
        for i in range(len(given) + 1):
            for j in range(i, len(given) + 1):
                assert self.repaired(given[:i], given[i:j], given[j:]) == expected
        assert self.repaired(*(bytes([byte]) for byte in given)) == expected

    @given(st.lists(st.text(alphabet='\\xuXdD89aAcCfF0"n é', max_size=12)))
    def test_how_the_bytes_are_split_changes_nothing(self, pieces: list[str]) -> None:
        raw = [piece.encode() for piece in pieces]
        assert self.repaired(*raw) == self.repaired(b"".join(raw))

    @given(st.text(), st.booleans(), st.integers(1, 9))
    def test_valid_json_keeps_its_meaning(self, text: str, ascii_only: bool, step: int) -> None:
        raw = json.dumps(text, ensure_ascii=ascii_only).encode()
        repaired = self.repaired(*(raw[i : i + step] for i in range(0, len(raw), step)))
        assert repaired == raw

    def test_captions_survive_the_old_escapes(self, tmp_path: Path) -> None:
        write(tmp_path, photo(1, text="A~B~C"))
        raw = (tmp_path / "result.json").read_text()
        old = raw.replace("A~B~C", r"A\x1FB\\x1FC\ud83d \ude00\ud83d\ude00\x00")
        assert posts(write_text(tmp_path, old))[0].caption == "A\x1fB\\x1FC\ufffd \ufffd😀\ufffd"

    def test_a_title_is_storable_too(self, tmp_path: Path) -> None:
        assert Export.open(write(tmp_path, name="a\ud800\0b")).channel.title == "a\ufffd\ufffdb"
