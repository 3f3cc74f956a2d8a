"""What the tests of kills and faults do alike: a folder that can't be written, who was killed, what /status tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.instance import Instance, wait_for


def be_in_the_way(folder: Path) -> None:
    """Have a file where that folder is to be: nobody can write below it, not even root. `unlink` mends it."""
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")


def killed(instance: Instance) -> list[str]:
    """The processes that were killed by SIGKILL, one after the other."""
    return [str(one["child"]) for one in instance.records() if one.get("what") == "killed by SIGKILL"]


def problem(instance: Instance, id: str) -> dict[str, Any] | None:
    """The problem of that id, if /status tells of it."""
    found = (instance.status() or {"problems": []})["problems"]
    return next((one for one in found if one["id"] == id), None)


def wait_until_over(instance: Instance, id: str) -> None:
    """Until /status answers and does not tell of that problem."""
    wait_for(
        f"the end of {id}", lambda: (body := instance.status()) and id not in [one["id"] for one in body["problems"]]
    )
