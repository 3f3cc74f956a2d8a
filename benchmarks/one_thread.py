"""The program, but that each picture has one thread however many workers are idle: what `benchmarks.alone` compares
with. `python -m benchmarks.one_thread ARGUMENT…` is `python -m supervisor ARGUMENT…`.
"""

from __future__ import annotations

import runpy
from typing import Any

from supervisor import tree
from supervisor.settings import Settings

really = tree.pool_options


def pool_options(settings: Settings) -> dict[str, Any]:
    return {**really(settings), "processors": 1}


if __name__ == "__main__":
    tree.pool_options = pool_options
    runpy.run_module("supervisor", run_name="__main__")
