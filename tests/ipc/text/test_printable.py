"""Text of others on a terminal: nothing of it steers the terminal, and nothing else of it is lost."""

from __future__ import annotations

import doctest
import json
import sys
import unicodedata

import pytest

from ipc.text import printable as module
from ipc.text.printable import printable, printable_json

JOINERS = "\u200c\u200d"
VISIBLE = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
"""Of the format characters, those with a glyph: signs before Arabic and Kaithi numbers."""


def must_go(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cf":
        # Marks within a script's own notation (hieroglyphs, shorthand, music) have no effect beyond it.
        return ord(char) not in VISIBLE and char not in JOINERS and not 0x13430 <= ord(char) <= 0x1D17A
    return category in ("Cc", "Cs", "Zl", "Zp")


def test_of_all_characters_exactly_the_harmful_ones_are_spelt_out() -> None:
    for code in range(sys.maxunicode + 1):
        shown = printable(char := chr(code))
        assert (shown != char) == must_go(char), f"U+{code:04X}"
        if shown != char:
            assert shown.isascii() and shown.startswith("\\")


@pytest.mark.parametrize(
    "text", ["plain", "naïve — 10\xa0€", "عربى", "🧑\u200d🚀 🏴", "می\u200cخواهم", 'C:\\x1b "quoted"']
)
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text
    assert printable_json(json.dumps(text, ensure_ascii=False)) == json.dumps(text, ensure_ascii=False)


def test_json_says_the_same_and_has_nothing_that_steers_a_terminal() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), 0xE0041]))
    document = json.dumps({everything: ["\ud83d", everything]}, ensure_ascii=False, indent=1)
    safe = printable_json(document)
    assert json.loads(safe) == json.loads(document)
    assert not [char for char in safe if must_go(char) and char != "\n"]
    safe.encode()


def test_doctests() -> None:
    assert doctest.testmod(module).failed == 0
