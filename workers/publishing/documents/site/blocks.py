"""A block of posts: its page in the archive and the page of each of its posts.

First the journal records the block's posts and the other pages to rewrite. Then the pages are written, and recorded as
written. A process that is killed in between does it again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ipc import failpoints
from ipc.journal import Journal
from ipc.journal.outputs import site
from ipc.journal.outputs.site import Rank, SiteBlock, Task
from workers.publishing.catalog import Catalog
from workers.publishing.catalog.pictures import MOST
from workers.publishing.documents.site.html.frame import Neighbours, Site
from workers.publishing.documents.site.html.pages import archive_page, post_page
from workers.publishing.documents.site.newest import newest_posts
from workers.publishing.documents.site.output import Document, Output, Written
from workers.publishing.documents.site.partition import PER_BLOCK, divided
from workers.publishing.documents.site.posts import SitePost, archive_path, posts_of
from workers.publishing.documents.site.sitemap import CHUNK

SPAN = 32
"""Ids beyond a block's edge that may belong to its posts. An album has at most ten pictures, with consecutive ids."""

HIGHEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Found:
    """The posts of a block as the catalogue has them, the lowest first. `is_whole`: there are no more of them."""

    posts: list[SitePost]
    is_whole: bool


class Blocks:
    """Does the tasks `block`."""

    def __init__(self, journal: Journal, catalog: Catalog, output: Output, look: Site) -> None:
        self._journal = journal
        self._catalog = catalog
        self._output = output
        self._look = look

    def make(self, task: Task) -> Written:
        """Raises ServiceFault and JobFault."""
        block = site.block(self._journal, task.channel_id, task.number)
        if block is None or block.first_id != task.number:  # it is part of the one below by now
            with self._journal.transaction():
                site.end(self._journal, task)
            return Written()
        if not block.is_read and self._cut_off(block, task):
            return Written()
        return self._write(self._plan(block, task), task)

    # What is in it

    def _cut_off(self, block: SiteBlock, task: Task) -> bool:
        """Make the highest posts of an unread block a block of their own. Returns whether there are more posts."""
        over = site.above(self._journal, block)
        high = over.first_id if over else HIGHEST_ID
        before = (over.oldest_at, block.channel_id, high) if over and over.oldest_at else None
        posts = newest_posts(self._catalog, block.channel_id, before, high)
        if len(posts) <= PER_BLOCK:
            return False
        own = posts[-PER_BLOCK:]
        new = _block(block.channel_id, own[0].first_id, own)
        with self._journal.transaction():
            site.end(self._journal, task)
            site.put_block(self._journal, new, posts_before=0)
            # Its pages are made when it is known what they link to below: at the next step, or at the last one.
            if over is not None:
                site.add(self._journal, replace(task, number=over.first_id))
            site.add(self._journal, replace(task, rank=Rank.BLOCK if over is None else Rank.BUILT))
        failpoints.reach("site.divided")
        return True

    def _read(self, channel_id: int, first_id: int, until: int) -> _Found:
        """The posts whose first message is from `first_id` up to before `until`."""
        between = max(0, first_id - SPAN), min(HIGHEST_ID, until - 1 + SPAN)
        rows = self._catalog.pictures(channel_id=channel_id, between=between, most=MOST)
        posts = [post for post in posts_of(rows) if first_id <= post.first_id < until]
        is_whole = len(rows) < MOST
        return _Found(posts if is_whole else posts[:-1], is_whole)

    def _plan(self, block: SiteBlock, task: Task) -> tuple[SiteBlock, Sequence[SitePost], int]:
        """Record what is in the block, divided if it is too much. What is left of it, its posts, and where it ends."""
        over = site.above(self._journal, block)
        until = over.first_id if over else HIGHEST_ID
        found = self._read(block.channel_id, block.first_id, until)
        parts = divided(found.posts, is_highest=over is None or not found.is_whole, is_lowest=block.first_id == 0)
        own, *others = parts
        now = _block(block.channel_id, block.first_id, own)
        new = [_block(block.channel_id, some[0].first_id, some) for some in others]
        failpoints.reach("site.read")
        with self._journal.transaction():
            site.put_block(self._journal, now, posts_before=block.posts)
            for one in new:
                site.put_block(self._journal, one, posts_before=0)
            if not own and block.first_id:
                site.drop_block(self._journal, now)
            messages = {post.first_id for post in found.posts} | {one.first_id for one in self._pages(block, until)}
            site.add(self._journal, *self._follow(block, now, new, task), *_fronts(now, messages, task, self._look))
        failpoints.reach("site.planned")
        return now, own, others[0][0].first_id if others else until

    def _follow(self, before: SiteBlock, now: SiteBlock, new: Sequence[SiteBlock], task: Task) -> Iterator[Task]:
        """The blocks whose pages link to what has changed here."""
        rank = task.rank
        for one in new:
            yield Task("block", rank, one.channel_id, one.first_id)
        highest = new[-1] if new else now
        has_moved = bool(new) or not before.is_read or (not before.posts) != (not now.posts)
        beside = [
            *(self._beside(highest, up=True) if has_moved or before.newest != highest.newest else ()),
            *(self._beside(now, up=False) if has_moved or before.oldest != now.oldest else ()),
        ]
        for one in beside:
            yield Task("block", rank, one.channel_id, one.first_id)

    def _pages(self, block: SiteBlock, until: int) -> list[site.PostPage]:
        """The posts' pages that were written for this block, as far as it reaches now."""
        return site.posts_between(self._journal, block.channel_id, block.first_id, until - 1)

    def _beside(self, block: SiteBlock, *, up: bool) -> list[SiteBlock]:
        """The next block with posts, if there is one that is read."""
        step = site.above if up else site.below
        one = step(self._journal, block)
        while one is not None and one.is_read and not one.posts:
            one = step(self._journal, one)
        return [one] if one is not None and one.is_read else []

    # Its pages

    def _write(self, planned: tuple[SiteBlock, Sequence[SitePost], int], task: Task) -> Written:
        block, posts, until = planned
        newer = next(iter(self._beside(block, up=True)), None)
        older = next(iter(self._beside(block, up=False)), None)
        documents = list(self._documents(block, posts, newer, older))
        there = [one.path for one in self._pages(block, until)]
        path = archive_path(block.channel_id, block.first_id)
        known = [path] if site.digest(self._journal, path) is not None else []
        wanted = {document.path for document in documents}
        written = self._output.write(documents, [one for one in (*there, *known) if one not in wanted])
        with self._journal.transaction():
            site.end(self._journal, task)
            site.record(self._journal, written.pages, written.gone)
        failpoints.reach("site.after")
        return written

    def _documents(
        self, block: SiteBlock, posts: Sequence[SitePost], newer: SiteBlock | None, older: SiteBlock | None
    ) -> Iterator[Document]:
        """Posts before the page that links to them."""
        paths = [older.newest if older else "", *(post.path for post in posts), newer.oldest if newer else ""]
        for place, post in enumerate(posts, 1):
            page = post_page(self._look, post, Neighbours(newer=paths[place + 1], older=paths[place - 1]))
            address = (post.channel_id, post.first_id)
            yield Document(post.path, page, "post", post=address, changed_at=post.changed_at)
        if posts:
            beside = Neighbours(*(archive_path(one.channel_id, one.first_id) if one else "" for one in (newer, older)))
            path = archive_path(block.channel_id, block.first_id)
            yield Document(path, archive_page(self._look, path, posts[::-1], beside))


def _block(channel_id: int, first_id: int, posts: Sequence[SitePost]) -> SiteBlock:
    block = SiteBlock(channel_id, first_id, is_read=True)
    if not posts:
        return block
    oldest, newest = posts[0], posts[-1]
    return replace(block, posts=len(posts), newest=newest.path, oldest=oldest.path, oldest_at=oldest.posted_at)


def _fronts(block: SiteBlock, messages: Iterable[int], task: Task, look: Site) -> Iterator[Task]:
    """What shows or counts these posts, given by their lowest messages, besides the block's own pages."""
    channel, index, chunk, site_map = (
        (Rank.CHANNEL, Rank.INDEX, Rank.CHUNK, Rank.SITEMAP)
        if task.is_live
        else (Rank.BUILT_CHANNEL, Rank.BUILT_INDEX, Rank.BUILT_CHUNK, Rank.BUILT_SITEMAP)
    )
    yield Task("channel", channel, block.channel_id)
    yield Task("index", index)
    if look.is_public:
        for number in sorted({message // CHUNK for message in messages}):
            yield Task("chunk", chunk, block.channel_id, number)
        yield Task("sitemap", site_map)
