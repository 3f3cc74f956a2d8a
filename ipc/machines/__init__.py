"""What origin and nodes say to each other: the hand-over of a picture, and its result.

Both lie in queues of the user's own database as JSON. Pure values: who sends them is in `workers.publishing.machines`
(the origin) and `workers.sources.queue` (a node); the queues themselves are in `deploy/machines.sql`.
"""

from __future__ import annotations

VERSION = 1
"""Of the messages; the queues' names carry it. A node reads this version and the one before, so nodes are upgraded
before their origin."""


class BadMessage(Exception):
    """A message that is none of ours, or of a version that this program does not know: what is wrong with it."""
