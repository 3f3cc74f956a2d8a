"""All families of /metrics, in their order there."""

from __future__ import annotations

from health.metrics import machines, pictures, processes, surroundings, webhooks
from health.metrics.family import Family

FAMILIES: tuple[Family, ...] = (
    *surroundings.FAMILIES,
    *pictures.FAMILIES,
    *processes.FAMILIES,
    *webhooks.FAMILIES,
    *machines.FAMILIES,
)
