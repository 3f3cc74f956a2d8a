"""What search engines read: a sitemap of each span of a channel's messages, and an index of these. Pure.

https://www.sitemaps.org/protocol.html: absolute addresses, at most 50,000 in a file. A changed post touches one file.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipc.journal.outputs.site import PostPage
from workers.publishing.documents.site.html.frame import Site
from workers.publishing.documents.site.html.markup import escape

CHUNK = 1024
"""Message ids in one file: some 150 KB if each is a post."""

INDEX = "sitemap.xml"
CONTENT_TYPE = "application/xml"

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def chunk_path(channel_id: int, chunk: int) -> str:
    return f"{channel_id}/sitemap-{chunk}.xml"


def chunk_document(site: Site, pages: Iterable[PostPage]) -> bytes:
    urls = (
        f"<url><loc>{escape(site.url(page.path))}</loc><lastmod>{escape(page.changed_at)}</lastmod></url>\n"
        for page in pages
    )
    return f"{_HEAD}<urlset {_NAMESPACE}>\n{''.join(urls)}</urlset>\n".encode()


def index_document(site: Site, chunks: Iterable[str]) -> bytes:
    """`chunks`: their paths."""
    entries = (f"<sitemap><loc>{escape(site.url(path))}</loc></sitemap>\n" for path in chunks)
    return f"{_HEAD}<sitemapindex {_NAMESPACE}>\n{''.join(entries)}</sitemapindex>\n".encode()
