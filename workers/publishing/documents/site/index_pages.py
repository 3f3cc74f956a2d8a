"""The pages that show the newest posts (of a channel, of all), the sitemap, and the style and script of all pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipc.journal import Journal
from ipc.journal.outputs import site
from ipc.journal.outputs.site import SiteChannel, Task
from workers.publishing.catalog import Catalog
from workers.publishing.documents.site import sitemap
from workers.publishing.documents.site.html import assets
from workers.publishing.documents.site.html.frame import Site
from workers.publishing.documents.site.html.pages import MOST_CHANNELS, ChannelEntry, channel_page, index_page
from workers.publishing.documents.site.newest import newest_posts
from workers.publishing.documents.site.output import Document, Output, Written
from workers.publishing.documents.site.partition import PER_BLOCK
from workers.publishing.documents.site.posts import INDEX, SitePost, archive_path, channel_path


class IndexPages:
    """Does all tasks but `block`."""

    def __init__(self, journal: Journal, catalog: Catalog, output: Output, look: Site) -> None:
        self._journal = journal
        self._catalog = catalog
        self._output = output
        self._look = look

    def make(self, task: Task) -> Written:
        """Raises ServiceFault and JobFault."""
        if task.what == "channel":
            return self._channel(task)
        documents = {"index": self._index, "assets": _assets, "chunk": self._chunk, "sitemap": self._sitemap}
        wanted = list(documents[task.what](task)) if task.what in documents else []
        return self._write(task, wanted, self._gone(task, {one.path for one in wanted}))

    def _write(self, task: Task, documents: Sequence[Document], gone: Sequence[str] = ()) -> Written:
        written = self._output.write(documents, gone)
        with self._journal.transaction():
            site.end(self._journal, task)
            site.record(self._journal, written.pages, written.gone)
        return written

    def _gone(self, task: Task, wanted: set[str]) -> list[str]:
        """The documents of the task that are to be deleted."""
        if task.what == "chunk":
            some = [sitemap.chunk_path(task.channel_id, task.number)]
        elif task.what == "sitemap":
            some = [] if self._look.is_public else site.paths(self._journal, "sitemap")
        else:
            return self._outdated_assets() if task.what == "tidy" else []
        return [path for path in some if path not in wanted and site.digest(self._journal, path) is not None]

    def _outdated_assets(self) -> list[str]:
        """Style and script of another version, which no page names any more."""
        current = {assets.style().name, assets.script().name}
        return [path for path in site.paths(self._journal, "asset") if path not in current]

    def _newest(self, channel_id: int | None) -> list[SitePost]:
        """A page of posts, the newest first."""
        found = newest_posts(self._catalog, channel_id)
        posts = sorted(found, key=lambda post: (post.posted_at, post.channel_id, post.first_id), reverse=True)
        return posts[:PER_BLOCK]

    def _index(self, task: Task) -> Iterator[Document]:
        posts = self._newest(None)
        known = site.channels(self._journal, MOST_CHANNELS)
        only = known[0] if len(known) == 1 else None
        older = self._older(only, posts) if only else ""
        yield Document(INDEX, index_page(self._look, posts, [_entry(one) for one in known], older))

    def _channel(self, task: Task) -> Written:
        """The channel's page. Another title is on all of its pages, so that they are made anew."""
        posts = self._newest(task.channel_id)
        before = site.channel(self._journal, task.channel_id)
        title = posts[0].channel_title if posts else before.title
        name = posts[0].cover["channel_name"] if posts else before.name
        newest_at = posts[0].posted_at if posts else before.newest_at
        now = SiteChannel(task.channel_id, title, name, before.posts, newest_at)
        page = channel_page(self._look, _entry(now), posts, self._older(now, posts))
        is_shown = bool(posts) or site.digest(self._journal, channel_path(task.channel_id)) is not None
        written = self._output.write([Document(channel_path(task.channel_id), page)] if is_shown else [])
        with self._journal.transaction():
            site.end(self._journal, task)
            site.record(self._journal, written.pages, written.gone)
            site.name_channel(self._journal, task.channel_id, title, name, newest_at)
            if before.title and (before.title, before.name) != (title, name):
                site.renew_channel(self._journal, task.channel_id)
        return written

    def _older(self, channel: SiteChannel, posts: Sequence[SitePost]) -> str:
        """The page where the posts after these begin; empty if there are none."""
        if not posts or channel.posts <= len(posts):
            return ""
        block = site.block(self._journal, channel.channel_id, posts[-1].first_id)
        return archive_path(channel.channel_id, block.first_id) if block and block.posts else ""

    def _chunk(self, task: Task) -> Iterator[Document]:
        low = task.number * sitemap.CHUNK
        pages = site.posts_between(self._journal, task.channel_id, low, low + sitemap.CHUNK - 1)
        if pages and self._look.is_public:
            data = sitemap.chunk_document(self._look, pages)
            path = sitemap.chunk_path(task.channel_id, task.number)
            yield Document(path, data, "sitemap", sitemap.CONTENT_TYPE)

    def _sitemap(self, task: Task) -> Iterator[Document]:
        chunks = [path for path in site.paths(self._journal, "sitemap") if path != sitemap.INDEX]
        if self._look.is_public:
            yield Document(sitemap.INDEX, sitemap.index_document(self._look, chunks), "sitemap", sitemap.CONTENT_TYPE)


def _assets(task: Task) -> Iterator[Document]:
    for asset in (assets.style(), assets.script()):
        yield Document(asset.name, asset.data, "asset", asset.content_type)


def _entry(channel: SiteChannel) -> ChannelEntry:
    return ChannelEntry(channel.channel_id, channel.title, channel.name, channel.posts)
