"""The gallery: a static website beside the pictures, `{prefix}site/`, that follows the catalogue's rows.

`gallery` is the work of a thread: it notes what has changed as tasks in the journal, and does these one after another.
`blocks` makes the pages of posts, `index_pages` those that show the newest ones, `sitemap` what search engines read.
`output` writes what has become another document. `partition` decides which posts are on which page, `html` makes pages
of posts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipc.process.checklist import Checklist
from workers.publishing.documents.site.gallery import Gallery

__all__ = ["Gallery", "check"]


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """What readers of the gallery will find. `options` are the uploader's."""
    if not options["site"]["enabled"]:
        tried.ok("site: off")
    elif options["storage"]["public_url"]:
        tried.ok(
            f"site: on, {options['storage']['public_url'].rstrip('/')}/{options['storage']['prefix']}site/index.html"
        )
    elif options["storage"].get("backend", "files") == "files":
        tried.ok("site: on, /site/ of the health server shows it; without storage.public_url it has no sitemap")
    else:
        tried.warn(
            "site: storage.public_url is empty, so the gallery has no sitemap and no pictures in link cards: set it to"
            " where the objects are served, or site.enabled = false"
        )
