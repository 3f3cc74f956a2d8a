"""A message's text with its formatting, its first sender, and the message that it answers.

Formatting within formatting is left out: of a link in bold type there is the bold type alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from reprlib import repr as brief
from typing import Any, Final

from ipc.posts import clean
from workers.sources.export.reading.values import Malformed, positive, words


def read_text(value: object) -> tuple[str, tuple[dict[str, Any], ...]]:
    """The plain text of a string, or of an array of strings and of objects with `text`; and its formatting."""
    if isinstance(value, str):
        return clean(value), ()
    if not isinstance(value, list):
        raise Malformed(f"its text is neither a string nor an array: {brief(value)}")
    pieces: list[str] = []
    entities: list[dict[str, Any]] = []
    offset = 0
    for part in value:
        piece = part.get("text") if isinstance(part, dict) else part
        if not isinstance(piece, str):
            raise Malformed(f"a piece of its text is not a string: {brief(piece)}")
        pieces.append(clean(piece))
        length = len(pieces[-1].encode("utf-16-le")) // 2
        if isinstance(part, dict) and length and part.get("type", "plain") != "plain":
            entities.append(_entity(part, offset, length))
        offset += length
    return "".join(pieces), tuple(entities)


def _entity(part: Mapping[str, object], offset: int, length: int) -> dict[str, Any]:
    """The formatting of a piece of text, in the exporter's words, which are everybody's; a web address is its `url`."""
    kind = part["type"]
    if not isinstance(kind, str):
        raise Malformed(f"the 'type' of a piece of its text is not a string: {brief(kind)}")
    known = {
        "url": words(part.get("href")),
        "language": words(part.get("language")),
        "user_id": positive(part.get("user_id")),
        "document_id": _document_id(part.get("document_id")),
    }
    entity = {"type": clean(kind), "offset": offset, "length": length}
    return entity | {name: value for name, value in known.items() if value is not None}


def _document_id(value: object) -> int | None:
    """A custom emoji's id, which the exporter writes in quotes; if it has the emoji's file, then its path instead."""
    return positive(int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value) else value)


_PEER: Final = re.compile(r"(channel|user)([0-9]{1,19})")


def forwarded_from(message: Mapping[str, object]) -> dict[str, Any] | None:
    """What is known of the first sender: the name, and from newer exporters the id.

    A sender whose account is deleted has no name (null). If nothing is known, the chat
    that it was taken from stands for it.
    """
    known: dict[str, Any] = {}
    if name := words(message.get("forwarded_from")):
        known["name"] = name
    peer = _PEER.fullmatch(str(message.get("forwarded_from_id")))
    if peer and (peer_id := positive(int(peer[2]))):
        known[f"{peer[1]}_id"] = peer_id
    if not known and (name := words(message.get("saved_from"))):
        known["name"] = name
    return known or None


def reply_to(message: Mapping[str, object], channel_id: int) -> int | None:
    """The message of this channel that it answers. One of another chat has an id that means another message here."""
    if message.get("reply_to_peer_id") not in (None, f"channel{channel_id}"):
        return None
    return positive(message.get("reply_to_message_id"))
