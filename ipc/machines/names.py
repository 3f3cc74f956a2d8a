"""What a machine is among others, by its options, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_node(options: Mapping[str, Any]) -> bool:
    """Whether this machine renders and publishes for others, and has no source of its own."""
    return bool(options.get("machines", {}).get("role") == "node")


def node_name(options: Mapping[str, Any], machine_id: str) -> str:
    """What others call this node: by the settings, and by its journal, since machines of a group share their settings.

    >>> node_name({"machines": {"role": "node", "name": "worker"}}, "0123456789ab")
    'worker-012345'
    """
    return f"{options['machines']['name']}-{machine_id[:6]}"
