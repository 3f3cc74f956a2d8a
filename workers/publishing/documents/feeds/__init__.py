"""Feeds, JSON Feed 1.1 and Atom: one for each channel, and one for all.

`items` makes items of the catalogue's rows, an album one of them; `json_feed` and `atom` make a document of these;
`feeds` has `rows` read and writes the documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipc.process.checklist import Checklist
from workers.publishing.documents.feeds.feeds import Feeds

__all__ = ["Feeds", "check"]


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """What readers of the feeds will find. `options` are the uploader's."""
    if not options["feeds"]["enabled"]:
        tried.ok("feeds: off")
    elif options["storage"]["public_url"]:
        tried.ok("feeds: on")
    elif not options["feeds"]["is_asked_for"]:
        tried.ok("feeds: on, with relative links until storage.public_url is set")
    else:
        tried.warn(
            "feeds: storage.public_url is empty, so their links are relative, which some readers don't follow: set it"
            " to where the objects are served, or feeds.enabled = false"
        )
