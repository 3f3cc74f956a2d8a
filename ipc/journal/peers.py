"""What the addresses in the configuration were resolved to, and when each was first configured.

An address is a text as `ipc.text.channel_address.Address.key` gives it.
"""

from __future__ import annotations

from ipc.journal import Journal


def get(journal: Journal, address: str, account_id: int) -> tuple[int, int] | None:
    """Channel id and access hash that the address was resolved to, for this account."""
    row = journal.run("peer", address=address, account_id=account_id).fetchone()
    return (row["channel_id"], row["access_hash"]) if row else None


def put(journal: Journal, address: str, account_id: int, channel_id: int, access_hash: int) -> None:
    with journal.transaction():
        journal.run("put_peer", address=address, account_id=account_id, channel_id=channel_id, access_hash=access_hash)


def channel_ids(journal: Journal, address: str) -> set[int]:
    """The channels that the address was ever resolved to, for any account."""
    return {row["channel_id"] for row in journal.run("peer_ids", address=address)}


def first_configured(journal: Journal, address: str, now: float) -> float:
    """Since when (Unix seconds) the address has been in the configuration: since `now`, if it was not known before."""
    with journal.transaction():
        journal.run("add_sighting", address=address, now=now)
        return float(journal.run("sighting", address=address).fetchone()[0])
