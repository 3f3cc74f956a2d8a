"""A data centre of Telegram's content delivery network (CDN): not Telegram's own, and not trusted.

It proves itself by a key that Telegram names; it learns nothing of the account, not even which one asks; and an answer
of it that is not a file's bytes concerns its own files alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from telethon.crypto import rsa
from telethon.network import MTProtoSender
from telethon.tl import functions

from workers.sources.telegram.wire.client import reached
from workers.sources.telegram.wire.errors import ChannelFault, Flooded, ServerTrouble, StaleReference, Unreadable
from workers.sources.telegram.wire.files.data_centres import Elsewhere, Moved, server_of
from workers.sources.telegram.wire.translation import translated


class Cdn(Elsewhere):
    """A data centre of the CDN: it needs no login, and gives files only."""

    async def ask(self, request: Any, size: int, seconds: float) -> Any:
        """Like `Elsewhere.ask`, but its answers concern only its own files."""
        try:
            return await super().ask(request, size, seconds)
        except (Flooded, StaleReference, ChannelFault, Unreadable, Moved) as odd:
            raise self._failed(str(odd), getattr(odd, "seconds", 0.0)) from odd

    async def _ask_telegram(self) -> tuple[Any, Any]:
        client = self._client
        config = await translated(client(functions.help.GetConfigRequest()))
        keys = await translated(client(functions.help.GetCdnConfigRequest()))
        addresses = [one for one in config.dc_options if one.id == self._dc_id and one.cdn]
        addresses.sort(key=lambda one: (bool(one.tcpo_only), bool(one.ipv6) != client._use_ipv6))
        public_keys = [one.public_key for one in keys.public_keys if one.dc_id == self._dc_id]
        if not addresses or not public_keys:
            raise ServerTrouble(f"Telegram names no {'key' if addresses else 'address'} of the CDN's data centre")
        return addresses[0], public_keys

    async def _enter(self, sender: MTProtoSender, transport: Any, credentials: Any) -> None:
        with _trusted(credentials):
            await reached(self._client, sender.connect(transport), server_of(transport))


@contextmanager
def _trusted(public_keys: list[str]) -> Iterator[None]:
    """Accept these keys of a data centre, for as long as it takes to connect: they are good for no other one.

    Telethon has one list of keys for all, and would leave them in it.
    """
    known, added = set(rsa._server_keys), set[int]()
    try:
        try:
            for key in public_keys:
                rsa.add_key(key, old=False)
        finally:
            added = set(rsa._server_keys) - known  # and none of another connection's that is being made
        yield
    except ValueError as error:
        raise ServerTrouble(f"Telegram names a key of the CDN that is none: {error}") from error
    finally:
        for fingerprint in added:
            rsa._server_keys.pop(fingerprint, None)
