"""Checks an image worker's answer before anything of it is recorded: a decoder that a picture has taken over may say
anything, and its words end up in rows and object keys. Pure functions.

Left to others: whether the files are there (the uploader finds out), and whether it answers this job (the pool).
"""

from __future__ import annotations

import re

from ipc.files.object_layout import CONTENT_TYPES, RECIPE
from ipc.transport.messages import NOT_STRIPPED, JobDone, JobFailed
from workers.rendering.verdicts import headers

THUMBHASH_BYTES = (5, 40)
"""The least and the most that a ThumbHash may have. Ours have 25 at most."""

LARGEST = 2**48
"""Above any size in bytes or pixels, and far below the largest integer of the journal."""


def is_sound(answer: JobDone | JobFailed) -> bool:
    """Whether every field is of its declared type, and fit for a key or a row."""
    return _is_sound_failure(answer) if isinstance(answer, JobFailed) else _is_sound_success(answer)


def _is_sound_failure(answer: JobFailed) -> bool:
    return (
        _is_size(answer.rss_bytes)
        and _is_word(answer.verdict, r"[a-z]+")
        and _is_text(answer.reason)
        and _is_word(answer.codec, r"[A-Za-z ]{0,40}")
    )


def _is_sound_success(answer: JobDone) -> bool:
    return (
        all(map(_is_size, (answer.rss_bytes, answer.width, answer.height, answer.fallbacks)))
        and _is_word(answer.extension, "|".join(headers.MIMES))
        and answer.mime == headers.MIMES[answer.extension]
        and _are_renditions(answer.renditions)
        and answer.fallbacks <= len(answer.renditions) + 4  # the trial, the animation, the preview, a format
        and _is_text(answer.fallback_reason)
        and _is_word(answer.recipe, RECIPE)
        and (_is_size(answer.stripped_bytes) or answer.stripped_bytes == NOT_STRIPPED)
        and (answer.appearance == [] or _is_appearance(answer.appearance))
        and _is_size(answer.preview_bytes)
    )


def _are_renditions(value: object) -> bool:
    """A ladder may have gaps, but each rendition is a file of its own."""
    if not isinstance(value, list) or not all(map(_is_rendition, value)):
        return False
    return len({(width, name) for width, _, name, _ in value}) == len(value)


def _is_rendition(value: object) -> bool:
    match value:
        case [width, height, str(name), size]:
            return name in CONTENT_TYPES and all(map(_is_size, (width, height, size))) and 0 not in (width, height)
        case _:
            return False


def _is_appearance(value: object) -> bool:
    """Whether it is what `ipc.jobs.Appearance.packed` makes."""
    match value:
        case [bytes(thumbhash), color, bytes(phash), bool(), int(frames), bool(animated)]:
            return (
                THUMBHASH_BYTES[0] <= len(thumbhash) <= THUMBHASH_BYTES[1]
                and _is_word(color, r"#[0-9a-f]{6}")
                and len(phash) == 8
                and _is_size(frames)
                and frames >= 1
                and (frames > 1 or not animated)
            )
        case _:
            return False


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_word(value: object, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str)
