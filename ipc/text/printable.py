r"""Text that others wrote (names, reasons, paths), made safe to show: what steers a terminal is spelt out.

Promises. What `printable` gives is one line. It holds nothing that a terminal obeys (C0, DEL, C1, and so every escape
sequence), nothing that shows text in another order than it has (bidi controls), nothing invisible that makes two names
look alike, and nothing that cannot be written as UTF-8 (half of a surrogate pair). Each such character is shown as
Python would spell it, `\x1b` or `\u202e`; all other text is left as it is. The joiners of emoji and of Persian stay.
"""

from __future__ import annotations

import re

_UNSAFE = (
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1
    "\xad\u180e\u200b\u2060-\u2064\ufeff"  # invisible
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u206a-\u206f"  # direction
    "\u2028\u2029"  # line and paragraph separator
    "\ufff9-\ufffb\U000e0001\U000e0020-\U000e007f"  # annotations and tags: text that is there and not shown
    "\ud800-\udfff"
    "]"
)
"""A pattern. Compiled at its first use, by `re`, which keeps it: most processes never need it, and it takes 1 ms."""


def printable(text: str) -> str:
    r"""The text as one line that is safe to show.

    >>> printable("good \x1b[2J\nbad"), printable("naïve 🧑\u200d🚀")
    ('good \\x1b[2J\\nbad', 'naïve 🧑\u200d🚀')
    """
    return text if text.isprintable() else re.sub(_UNSAFE, _spelt, text)


def _spelt(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


def printable_json(document: str) -> str:
    r"""A JSON document, possibly of many lines, with such characters as JSON's own escapes: it says the same as before.

    In JSON they can stand in strings only, but for the line breaks and blanks of its layout, which stay.

    >>> printable_json('{"name": "a\x9bm"}')
    '{"name": "a\\u009bm"}'
    """
    return document if document.isprintable() else re.sub(_UNSAFE, _json_escape, document)


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:  # of the layout; json has escaped those within strings
        return match[0]
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD800 + (code - 0x10000 >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
