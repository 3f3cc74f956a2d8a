"""What is left of claims that have ended: the hand-over leaves the queue, then the original the bucket."""

from __future__ import annotations

from collections.abc import Sequence

from ipc import failpoints
from ipc.journal import Journal
from ipc.journal.machines import claims
from ipc.journal.machines.claims import Leftover
from workers.publishing.catalog.supabase.queues import Queues
from workers.publishing.machines.wire import Wire

AT_ONCE = 100


def clear(journal: Journal, queues: Queues, wire: Wire, origin: str) -> int:
    """Clear some leftovers away. Returns their number. Raises ServiceFault. Every step can be repeated.

    Out of the queue first, whoever holds it: a node that can't have its original any more must not count as one that
    has failed with it. It is for the thread that puts and hands over: nothing of these is on its way then.
    """
    some = claims.leftovers(journal, AT_ONCE)
    if not some:
        return 0
    queues.take_back(origin, [one.key for one in some], untaken_only=False)
    failpoints.reach("machines.voided")
    return delete(journal, wire, some)


def delete(journal: Journal, wire: Wire, some: Sequence[Leftover]) -> int:
    """Delete the originals of these leftovers. Returns their number. Raises StorageFault."""
    wire.delete(one.token for one in some)
    failpoints.reach("machines.deleted")
    claims.cleared(journal, some)
    failpoints.reach("machines.cleared")
    return len(some)
