"""The ladder as a first script with Pillow makes it: one process, each width and format from the file anew.

Called with a JSON file as `benchmarks/sharp/ladder.mjs` is (only `quality` of `webp` and `avif` is used: all else is
Pillow's default); prints the same.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image


def rendered(path: Path, config: dict[str, Any]) -> None:
    with Image.open(path) as image:
        size = image.size
    for step in sorted({min(step, size[0]) for step in config["widths"]}):
        for name in ("webp", "avif"):
            with Image.open(path) as image:
                made = image.convert("RGB").resize(
                    (step, max(1, round(step * size[1] / size[0]))), Image.Resampling.LANCZOS
                )
                made.save(Path(config["out"]) / f"{path.stem}-{step}.{name}", quality=config[name]["quality"])


def main() -> None:
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    start = time.monotonic()
    for name in config["files"]:
        rendered(Path(name), config)
    print(json.dumps({"seconds": time.monotonic() - start}))


if __name__ == "__main__":
    main()
