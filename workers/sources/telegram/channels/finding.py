"""Finds the channel of a configured address: in the journal, or else by asking Telegram.

Telegram looks up few names a day: it is asked for a name once in its life.
"""

from __future__ import annotations

from typing import Final

from ipc.journal import Journal, peers
from ipc.text.channel_address import marked
from workers.sources.telegram.channels.state import ChannelState
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import ChannelFault
from workers.sources.telegram.wire.peers import Peer

NO_HASH: Final = 0
"""Instead of an access hash that does not hold any more: the id is still known."""


async def find(connection: Connection, journal: Journal, channel: ChannelState, configured: list[ChannelState]) -> Peer:
    """The channel, which the journal remembers from now on. Raises ChannelFault, and what the connection does.

    `configured` are all channels. No two of them may lead to the same one.
    """
    known = peers.get(journal, channel.address.key, connection.account_id)
    if known is None or known[1] == NO_HASH:
        peer = await connection.resolve(channel.address)
        require_same(peers.channel_ids(journal, channel.address.key), peer.channel_id)
    else:
        if all(other.channel_id != known[0] for other in configured):
            channel.channel_id = known[0]  # whatever is wrong with it, /status knows which it is
        peer = await connection.refresh(Peer(*known, title="", is_member=True))
    peers.put(journal, channel.address.key, connection.account_id, peer.channel_id, peer.access_hash)
    for other in configured:
        if other is not channel and other.history is not None and other.history.id == peer.channel_id:
            raise ChannelFault(f"it is the same channel as {other.address}", "Name it once in telegram.channels")
    channel.channel_id = peer.channel_id
    return peer


def forget_hash(journal: Journal, channel: ChannelState, account_id: int) -> None:
    """The access hash does not hold: the next time, the address is resolved anew."""
    if channel.channel_id is not None:
        peers.put(journal, channel.address.key, account_id, channel.channel_id, NO_HASH)


def require_same(known: set[int], found: int) -> None:
    """An address leads where it has always led. Raises ChannelFault: another channel may have taken the name.

    >>> require_same(set(), 5), require_same({5, 6}, 5)
    (None, None)
    """
    if known and found not in known:
        before = " or ".join(map(marked, sorted(known)))
        raise ChannelFault(
            f"it leads to another channel than before (id {found})",
            f"In telegram.channels, write {marked(found)} if that is the one you want, or {before} for the one before",
        )
