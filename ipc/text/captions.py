"""What a caption says to readers, and what it says to us: alt text, tags, and whether its post is hidden. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Caption:
    """`html` and `text` are what readers see. `tags` are in order, lower case, each once, without their #."""

    html: str
    text: str
    alt: str | None
    tags: tuple[str, ...]
    hide: bool
    cover: bool


def shown(caption: str, entities: Sequence[Mapping[str, Any]], editor_commands: bool) -> Caption:
    """What a caption with that formatting (see `ipc.posts.Post`) shows, and what it asks for."""
    tags = dict.fromkeys(match.lower() for match in re.findall(r"(?<!\w)#(\w+)", caption))
    return Caption(html.escape(caption).replace("\n", "<br>"), caption, None, tuple(tags), hide=False, cover=False)
