"""How the codecs of the image workers fare: which fail for no picture's fault, and whether one must often stand in for
another. Pure: what the workers answered goes in, what /status is told comes out.

A codec that fails on a tiny good picture too is broken. In a worker that had it working before, only that process may
be spoilt, so the picture is charged with a try and the worker is replaced. In one that never had, all pictures would
fail, and they wait instead, none the worse for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from ipc.transport.messages import JobDone, clip

LOOK_BACK = 20
"""Of so many pictures with AVIF, the latest, is it reckoned how often another encoder stood in."""

FEW = 3
"""Fewer than this many of those are no problem yet."""

REASON_BYTES = 300
"""Of a reason in a report: with a decoder for each of five formats and two encoders broken, all go in one message."""

_DECODERS = {f"image/{name.lower()}": f"{name} decoder" for name in ("JPEG", "PNG", "WEBP", "AVIF", "GIF")}
_ENCODERS = {"webp": "WebP encoder", "avif": "AVIF encoder"}


class CodecHealth:
    """What is known of the codecs, from the answers of one pool's workers."""

    def __init__(self) -> None:
        self._worked: dict[str, set[str]] = {}
        self._broken: dict[str, str] = {}
        self._fell_back: deque[bool] = deque(maxlen=LOOK_BACK)
        self._fallback = ""

    def rendered(self, worker: str, done: JobDone) -> None:
        """The codecs that made this work."""
        used = set(_used(done))
        self._worked.setdefault(worker, set()).update(used)
        for codec in used:
            self._broken.pop(codec, None)
        if any(name == "avif" for _, _, name, _ in done.renditions):
            self._fell_back.append(done.fallbacks > 0)
            self._fallback = clip(done.fallback_reason, REASON_BYTES) or self._fallback

    def broke(self, worker: str, codec: str, reason: str) -> bool:
        """The codec failed in this worker. Whether only the worker may be spoilt, since it had worked there before."""
        if codec in self._worked.get(worker, ()):
            return True
        self._broken[codec] = clip(reason, REASON_BYTES)
        return False

    def forget(self, worker: str) -> None:
        """The process is gone: its successor has yet to show what works."""
        self._worked.pop(worker, None)

    def facts(self) -> dict[str, Any]:
        """For /status: why each broken codec is so, and why the AVIF encoder is often not the one it should be."""
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
