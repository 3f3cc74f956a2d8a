"""Real pictures and real exports for tests, made from a seed: the same seed makes the same bytes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

CHANNEL = 1234567890


def draw(path: Path, seed: int, size: tuple[int, int] = (480, 360)) -> None:
    """Draw a picture with soft and sharp parts, as a photograph has, and save it by the path's ending."""
    source = random.Random(seed)
    width, height = min(size[0], 480), min(size[1], 360)  # a large one is drawn small: it would take seconds
    image = Image.radial_gradient("L").resize((width, height)).convert("RGB")
    pen = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = source.randrange(width), source.randrange(height)
        pen.ellipse((x, y, x + source.randrange(10, 90), y + source.randrange(10, 90)), source.randrange(0xFFFFFF))
    image = image.filter(ImageFilter.GaussianBlur(1))
    image.resize(size, Image.Resampling.BILINEAR).save(path, quality=85)


def make_export(
    folder: Path, count: int, *, size: tuple[int, int] = (240, 180), bad: dict[int, bytes] | None = None
) -> Path:
    """An export of `count` photo messages, ids from 1. `bad` puts other bytes in place of a message's picture."""
    (folder / "photos").mkdir(parents=True)
    messages: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        name = f"photos/photo_{number}@01-02-2025_10-00-00.jpg"
        if bad and number in bad:
            (folder / name).write_bytes(bad[number])
        else:
            draw(folder / name, number, size)
        messages.append(message(number, photo=name, width=size[0], height=size[1]))
    write_result(folder, messages)
    return folder


def message(number: int, **fields: Any) -> dict[str, Any]:
    """A message as Telegram Desktop writes it; a minute lies between one and the next."""
    posted = 1_738_404_000 + 60 * number
    return {
        "id": number,
        "type": "message",
        "date": "2025-02-01T10:00:00",
        "date_unixtime": str(posted),
        "from": "Test",
        "from_id": f"channel{CHANNEL}",
        "text": f"caption {number}",
        "text_entities": [{"type": "plain", "text": f"caption {number}"}],
        **fields,
    }


def write_result(folder: Path, messages: list[dict[str, Any]]) -> None:
    """Write the export's result.json, laid out as Telegram Desktop does."""
    document = {"name": "Test", "type": "public_channel", "id": CHANNEL, "messages": messages}
    (folder / "result.json").write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
