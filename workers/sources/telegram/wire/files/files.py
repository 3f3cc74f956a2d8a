"""The bytes of files, from whichever data centre keeps them.

A file is asked for where its message says that it is. Where that data centre sends the client elsewhere, it follows: to
another one of Telegram's, or to its content delivery network (CDN), to which Telegram moves what large channels post,
also for clients that never ask for that. Of the CDN nothing is believed that Telegram has not vouched for (`cdn.py`),
and what goes wrong there concerns only the files that are there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from telethon import TelegramClient
from telethon.tl import functions, types

from workers.sources.telegram.wire.errors import ServerTrouble
from workers.sources.telegram.wire.files.cdn import MIN_BYTES, CdnBlock, CdnFile, Tampered
from workers.sources.telegram.wire.files.cdn_data_centre import Cdn
from workers.sources.telegram.wire.files.data_centres import Elsewhere, Home, Moved, TokenRefused
from workers.sources.telegram.wire.media import File

MAX_TURNS: Final = 4
"""How often in a row a part may be said to be elsewhere before that counts as nonsense."""

MAX_CDN_FILES: Final = 200
"""Files that are remembered to be on the CDN, of those that are under way. For any other, Telegram says so again."""


class Files:
    """What one connection has of files. `on_heard` is called when the connection itself has brought some."""

    def __init__(self, client: TelegramClient, on_heard: Callable[[], None]) -> None:
        self._client = client
        self._on_heard = on_heard
        self._sources: dict[int, Home | Elsewhere] = {}
        self._cdns: dict[int, Cdn] = {}
        self._moved: dict[int, int] = {}
        self._on_cdn: OrderedDict[int, CdnFile] = OrderedDict()

    def part_bytes(self, file: File, offset: int) -> int:
        """The size of the part to ask for at `offset`."""
        copy = self._on_cdn.get(file.location.id)
        if copy is None:
            return self._source(file).pace.part_bytes(offset, file.bytes - offset)
        size = self._cdn(copy.dc_id).pace.part_bytes(offset, file.bytes - offset)
        return size if offset % MIN_BYTES else max(size, MIN_BYTES)

    def dc_ids(self, file: File) -> tuple[int, ...]:
        """The data centres that this file's bytes come from, as far as is known."""
        copy = self._on_cdn.get(file.location.id)
        home = self._moved.get(file.location.id, file.dc_id)
        return (home, copy.dc_id) if copy else (home,)

    async def part(self, file: File, offset: int, size: int, seconds: float) -> bytes:
        """`size` bytes from `offset` on, or fewer where the file ends; `seconds` for each request."""
        for _ in range(MAX_TURNS):
            source, copy = self._source(file), self._on_cdn.get(file.location.id)
            try:
                if copy is not None:
                    return await self._part_of_copy(source, copy, file, offset, size, seconds)
                # Without cdn_supported, which would only invite it to send us there.
                request = functions.upload.GetFileRequest(file.location, offset, size)
                answer = await source.ask(request, min(size, file.bytes - offset), seconds)
            except Moved as moved:
                self._moved[file.location.id] = moved.dc_id
                continue
            except TokenRefused:
                self._forget(file, copy)
                continue
            match answer:
                case types.upload.File():
                    return bytes(answer.bytes)
                case types.upload.FileCdnRedirect():
                    self._remember(file, answer)
                case _:
                    raise _not_expected(answer)
        raise ServerTrouble(f"Telegram has sent us elsewhere for a file {MAX_TURNS} times in a row")

    async def close(self) -> None:
        """Close the connections to other data centres."""
        for source in [*self._sources.values(), *self._cdns.values()]:
            await source.close()

    def _source(self, file: File) -> Home | Elsewhere:
        dc_id = self._moved.get(file.location.id, file.dc_id)
        if dc_id not in self._sources:
            is_home = dc_id == self._client.session.dc_id
            self._sources[dc_id] = Home(self._client, self._on_heard) if is_home else Elsewhere(self._client, dc_id)
        return self._sources[dc_id]

    # On the CDN

    def _cdn(self, dc_id: int) -> Cdn:
        if dc_id not in self._cdns:
            self._cdns[dc_id] = Cdn(self._client, dc_id)
        return self._cdns[dc_id]

    def _remember(self, file: File, redirect: Any) -> None:
        """Telegram says that the file is on the CDN. Each of the parts that are asked for at once brings that."""
        known = self._on_cdn.get(file.location.id)
        if known is not None and known.token == redirect.file_token:
            known.learn(_blocks(redirect.file_hashes))
            return
        try:
            copy = CdnFile(
                redirect.dc_id,
                redirect.file_token,
                redirect.encryption_key,
                redirect.encryption_iv,
                _blocks(redirect.file_hashes),
            )
        except ValueError as error:
            raise ServerTrouble(f"Telegram describes a file on the CDN by {error}") from error
        self._on_cdn[file.location.id] = copy
        while len(self._on_cdn) > MAX_CDN_FILES:
            self._on_cdn.popitem(last=False)

    def _forget(self, file: File, copy: CdnFile | None) -> None:
        """Telegram is to be asked anew, unless another part has done that already."""
        if self._on_cdn.get(file.location.id) is copy:
            self._on_cdn.pop(file.location.id, None)

    async def _part_of_copy(
        self, source: Home | Elsewhere, copy: CdnFile, file: File, offset: int, size: int, seconds: float
    ) -> bytes:
        """The part from the CDN, proven. `source` is the data centre that has sent us there. Raises TokenRefused."""
        await self._learn_digests(source, copy, offset, min(offset + size, file.bytes), seconds)
        start, span = copy.span(offset, size)
        expected = min(span, file.bytes - start)
        data = await self._encrypted(source, copy, start, span, expected, seconds)
        await self._learn_digests(source, copy, start, start + len(data), seconds)
        try:
            if len(data) < expected:
                raise Tampered(f"{len(data)} bytes came at {start}, where {expected} should have")
            plain = copy.opened(data, start)
        except Tampered as error:
            self._forget(file, copy)
            raise ServerTrouble(f"Telegram's CDN (data centre {copy.dc_id}) does not give the file: {error}") from error
        return plain[offset - start : offset - start + size]

    async def _learn_digests(
        self, source: Home | Elsewhere, copy: CdnFile, start: int, end: int, seconds: float
    ) -> None:
        """Know the digests for these bytes, as far as Telegram has any."""
        while (gap := copy.unproven(start, end)) is not None:
            request = functions.upload.GetCdnFileHashesRequest(copy.token, gap)
            copy.learn(_blocks(await source.ask(request, 0, seconds)))
            if copy.unproven(gap, gap + 1) is not None:
                return

    async def _encrypted(
        self, source: Home | Elsewhere, copy: CdnFile, start: int, span: int, expected: int, seconds: float
    ) -> bytes:
        """What the CDN has from `start` on. It may have to be asked first to fetch it from Telegram."""
        for _ in range(MAX_TURNS):
            request = functions.upload.GetCdnFileRequest(copy.token, start, span)
            answer = await self._cdn(copy.dc_id).ask(request, expected, seconds)
            match answer:
                case types.upload.CdnFile():
                    return bytes(answer.bytes)
                case types.upload.CdnFileReuploadNeeded():
                    again = functions.upload.ReuploadCdnFileRequest(copy.token, answer.request_token)
                    copy.learn(_blocks(await source.ask(again, 0, seconds)))
                case _:
                    raise _not_expected(answer)
        raise ServerTrouble(f"Telegram's CDN (data centre {copy.dc_id}) does not get the file from Telegram")


def _blocks(hashes: Any) -> list[CdnBlock]:
    return [CdnBlock(one.offset, one.limit, one.hash) for one in hashes]


def _not_expected(answer: Any) -> ServerTrouble:
    return ServerTrouble(f"Telegram answers {type(answer).__name__} where a part of a file should be")
