"""Telling a bad picture from short memory, and giving memory back: what imaging knows of its process.

Under RLIMIT_DATA a decoder that gets no memory seldom says so: libwebp raises OSError "could not create
decoder object", libjpeg OSError "broken data stream", libavif RuntimeError, a WebP encoder ValueError; all of
which a corrupt picture raises too. So an exception is a verdict on the picture only where memory can't have
been the cause.

The cap of the job may not be the tightest one: an outer RLIMIT_DATA or RLIMIT_AS (`ulimit -d`, `ulimit -v`), or a
kernel that commits no more than it has, leaves less. So those count too, and whether the need could be had right now.

Left to others: setting the cap, and the second try with a larger one (the pool).
"""

from __future__ import annotations

import ctypes
import mmap
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ipc.kernel import proc

_MIB = 1024 * 1024

DECODE_BYTES_PER_PIXEL = 22
"""Memory for a pixel of the original. Decode, orient, convert and shrink of 12 MP took at most 21.1 (WebP with alpha);
AVIF 16, PNG 15, JPEG and GIF 14."""

ENCODE_BYTES_PER_PIXEL = 41
ENCODE_BASE_BYTES = 25 * _MIB
"""Memory for encoding the largest rendition: by pixel, and base. SVT-AV1 took 26, 35, 124, 199 and 534 MiB for .08, .3,
2.8, 4.9 and 15.7 MP, the stacks of its threads included, and at speed 7 (the preset "small") 209 for 4.9; aom and WebP
less."""

PICTURE_BYTES_PER_PIXEL = 4
"""Bytes of a pixel as Pillow has it in memory, RGB or RGBA."""

THREAD_BYTES = 16 * _MIB
"""Memory for one more thread of ours: its stack (8 MiB unless `ulimit -s` says otherwise) and its heap."""

NEAR_CAP = 0.9
"""Want of memory means that the need passed the whole cap. The need is known from above only by the figures
here, which a decoder of another version may pass by a little: hence a tenth below it."""


_WORDS = ("out of memory", "allocat")
"""What libavif and Pillow say when they get no memory ("Pixel allocation failed: Out of memory")."""


class OutOfMemory(Exception):
    """No verdict on the picture: memory was short. It is to be tried again alone, under a larger cap."""


def memory_need(pixels: int, top_pixels: int, file_bytes: int) -> int:
    """Return an upper bound in bytes on what rendering adds to a process's data.

    `pixels` are those of the original, `top_pixels` those of its largest rendition. A cap above
    (the process's data before + the need of the largest picture) / NEAR_CAP makes each failure a verdict.
    """
    decode = DECODE_BYTES_PER_PIXEL * pixels + 2 * file_bytes
    return decode + ENCODE_BYTES_PER_PIXEL * top_pixels + ENCODE_BASE_BYTES


def side_by_side_need(pixels: Sequence[int], threads: int) -> int:
    """Return an upper bound in bytes on what encoding on `threads` threads adds to `memory_need`, for renditions of
    `pixels` each.

    The largest may all be encoded at once, each with a copy of its picture, while the others' pictures wait.
    """
    if threads <= 1 or not pixels:
        return 0
    largest = sorted(pixels, reverse=True)[:threads]
    encode = ENCODE_BYTES_PER_PIXEL * (sum(largest) - largest[0]) + ENCODE_BASE_BYTES * (len(largest) - 1)
    pictures = PICTURE_BYTES_PER_PIXEL * (sum(pixels) + sum(largest))
    return encode + pictures + THREAD_BYTES * (threads - 1)


def has_room(needed_bytes: int) -> bool:
    """Whether the system would give so much right now, beside what the heap holds. No page is touched."""
    try:
        mmap.mmap(-1, max(1, needed_bytes), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, OverflowError):
        return False
    return True


def frames_need(pixels: int) -> int:
    """Return an upper bound in bytes on what an animation adds to `memory_need`, with `pixels` in all frames at all
    steps: they are held while they are encoded. The files are smaller by far, and counted as a byte a pixel.
    """
    return (PICTURE_BYTES_PER_PIXEL + 1) * pixels


def near_cap(peak_bytes: int, cap_bytes: int | None) -> bool:
    """Whether a process whose data may have peaked at `peak_bytes` can have failed for want of memory.

    `cap_bytes`: what its data may have at most, None when there is no cap.
    """
    return cap_bytes is not None and peak_bytes >= NEAR_CAP * cap_bytes


@dataclass(frozen=True, slots=True)
class Gauge:
    """What one job may need of memory, fixed at its start.

    No counter of the kernel shows the peak that matters: the allocation that failed was never granted, so
    VmData, VmPeak and VmHWM hold what came before it (a WebP of 12 MP under a cap of 90 MiB: 29 MiB
    resident), and the two peaks never fall again after an earlier large job. So the peak is reckoned: data at
    the start plus the need by the header. The kernel's figures only add what a picture that lies in its
    header used beyond that.
    """

    subject: str
    cap_bytes: int | None
    need_bytes: int
    expected_bytes: int
    resident_peak_bytes: int

    @classmethod
    def start(cls, subject: str, need_bytes: int, cap_bytes: int | None) -> Gauge:
        """Begin a job on `subject`, a phrase for messages, that needs at most `need_bytes` by its header.

        `cap_bytes`: of the job; an outer limit may be tighter.
        """
        data, resident_peak = _process_bytes()
        return cls(subject, _tightest(cap_bytes), need_bytes, data + need_bytes, resident_peak)

    def plus(self, need_bytes: int) -> Gauge:
        """The gauge of a job that may need `need_bytes` more."""
        return self._expecting(self.expected_bytes + need_bytes)

    def _expecting(self, expected_bytes: int) -> Gauge:
        more = expected_bytes - self.expected_bytes
        return replace(self, need_bytes=self.need_bytes + more, expected_bytes=expected_bytes)

    def side_by_side(self, threads: int, pixels: Sequence[int]) -> tuple[int, Gauge]:
        """The number of threads, from 1 to `threads`, that keep the need within the cap, and the gauge for them.

        `pixels`: those of each rendition.
        """
        for fewer in range(min(threads, len(pixels)), 1, -1):
            expected = self.expected_bytes + side_by_side_need(pixels, fewer)
            if not near_cap(expected, self.cap_bytes):
                return fewer, self._expecting(expected)
        return 1, self

    def rule_out_memory(self, error: Exception) -> None:
        """Raise OutOfMemory from `error` where memory can be its cause. To be called in the `except` clause."""
        data, resident_peak = _process_bytes()
        grown = resident_peak if resident_peak > self.resident_peak_bytes else 0
        peak = max(self.expected_bytes, data, grown)
        says_so = isinstance(error, MemoryError) or any(word in str(error).lower() for word in _WORDS)
        if says_so or near_cap(peak, self.cap_bytes) or not self._is_room_left(data):
            cap = f"a cap of {self.cap_bytes // _MIB} MiB" if self.cap_bytes is not None else "no cap"
            raise OutOfMemory(
                f"out of memory on {self.subject}: may need {peak // _MIB} MiB under {cap}"
                f" ({type(error).__name__}: {error}); try it again alone with a larger cap"
            ) from error

    def _is_room_left(self, data_bytes: int) -> bool:
        """Whether what the job may still need could be had, now that it has `data_bytes`."""
        return has_room(min(self.need_bytes, max(0, self.expected_bytes - data_bytes)))


def _tightest(cap_bytes: int | None) -> int | None:
    """What this process's data may have at most: by the cap, or by a limit that was set outside; None: as it likes."""
    caps = [] if cap_bytes is None else [cap_bytes]
    data, _ = resource.getrlimit(resource.RLIMIT_DATA)
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if data != resource.RLIM_INFINITY:
        caps.append(data)
    sizes = proc.process_sizes() if space != resource.RLIM_INFINITY else {}
    if "VmSize" in sizes and "VmData" in sizes:
        caps.append(max(0, space - sizes["VmSize"] + sizes["VmData"]))
    return min(caps, default=None)


def _process_bytes() -> tuple[int, int]:
    """Return this process's data (VmData, what RLIMIT_DATA counts) and its peak resident memory (VmHWM), in bytes.

    A sandbox may hide /proc: then the peak resident memory, which needs no file, stands for both.
    """
    sizes = proc.process_sizes()
    if "VmData" in sizes and "VmHWM" in sizes:
        return sizes["VmData"], sizes["VmHWM"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak, peak


def _find_malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # not glibc
        return None


_malloc_trim = _find_malloc_trim()  # at import: a sandbox may forbid it later


def trim() -> None:
    """Give free memory back to the system. A large job leaves 116 to 240 MiB resident, 24 to 28 after this."""
    if _malloc_trim is not None:
        _malloc_trim(0)
