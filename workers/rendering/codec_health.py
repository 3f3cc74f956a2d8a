"""The health of the image workers' codecs: which fail by no picture's fault, and whether another encoder often stands
in. Pure: the workers' answers go in, facts for /status come out.

A codec that fails on a tiny good picture too is broken. In a worker where it had worked before, only that process may
be spoilt: the picture loses an attempt and the worker is replaced. Where it never worked, all pictures would fail: they
wait, and lose no attempt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from ipc.transport.messages import JobDone, clip

LOOK_BACK = 20
"""How many pictures with AVIF, the latest, are looked at for how often another encoder stood in."""

FEW = 3
"""Fewer pictures than this with another encoder are no problem yet."""

REASON_BYTES = 300
"""Longest reason in a report, in bytes. With five decoders and three encoders broken, all go in one message."""

_DECODERS = {f"image/{name.lower()}": f"{name} decoder" for name in ("JPEG", "PNG", "WEBP", "AVIF", "GIF")}
_ENCODERS = {"webp": "WebP encoder", "avif": "AVIF encoder", "jpeg": "JPEG encoder"}


class CodecHealth:
    """The health of the codecs of one pool's workers, by the workers' names."""

    def __init__(self) -> None:
        self._worked: dict[str, set[str]] = {}
        self._broken: dict[str, str] = {}
        self._fell_back: deque[bool] = deque(maxlen=LOOK_BACK)
        self._fallback = ""

    def rendered(self, worker: str, done: JobDone) -> None:
        """The codecs that made these renditions work."""
        used = set(_used(done))
        self._worked.setdefault(worker, set()).update(used)
        for codec in used:
            self._broken.pop(codec, None)
        if any(name == "avif" for _, _, name, _ in done.renditions):
            self._fell_back.append(done.fallbacks > 0)
            self._fallback = clip(done.fallback_reason, REASON_BYTES) or self._fallback

    def broke(self, worker: str, codec: str, reason: str) -> bool:
        """The codec is broken in this worker. True: it had worked there before, so only the worker may be spoilt."""
        if codec in self._worked.get(worker, ()):
            return True
        self._broken[codec] = clip(reason, REASON_BYTES)
        return False

    def forget(self, worker: str) -> None:
        """The process is gone; nothing is known of the next one."""
        self._worked.pop(worker, None)

    def facts(self) -> dict[str, Any]:
        """For /status: the reason of each broken codec, and why another AVIF encoder often stands in, or ""."""
        count = sum(self._fell_back)
        often = count >= FEW and 2 * count >= len(self._fell_back)
        return {"broken_codecs": dict(self._broken), "encoder_fallback": self._fallback if often else ""}


def _used(done: JobDone) -> Iterator[str]:
    if done.mime in _DECODERS:
        yield _DECODERS[done.mime]
    yield "scaler"
    for _, _, name, _ in done.renditions:
        if name in _ENCODERS:
            yield _ENCODERS[name]
    if done.preview_bytes:
        yield _ENCODERS["jpeg"]
