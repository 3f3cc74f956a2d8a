"""Whose fault it is that a codec failed: the picture's, or ours. Only decoding may blame the picture.

5,909 odd files from the public made Pillow raise OSError, ValueError, SyntaxError, RuntimeError, IndexError, TypeError
and struct.error: so the type of an error says little. What says more is a canary, a tiny good picture of the same
format, which is decoded right after: where that fails too, the codec is broken and every picture would die of
it, as after a broken upgrade. No file has ever caused an AttributeError, NameError or ImportError, and an error that
our own lines raise is ours in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from workers.rendering.imaging.gate import BadPicture
from workers.rendering.imaging.memory import Gauge, OutOfMemory

_HERE: Final = Path(__file__).parent


class CodecFault(Exception):
    """A decoder or encoder of ours failed, for no fault of the picture. `str()` is the reason, for the dead letters.

    `codec` names it ("WebP encoder"), `error` is what it raised, as text. `broken`: it fails on the canary as well, so
    no other picture will fare better.
    """

    def __init__(self, codec: str, error: BaseException, *, broken: bool) -> None:
        self.error = f"{type(error).__name__}: {str(error)[:200]}"
        where = "" if broken else " on this picture, though not on others"
        super().__init__(
            f"our {codec} failed{where}: {self.error}."
            " This is no fault of the picture; after an upgrade: bin/run retry --all"
        )
        self.codec = codec
        self.broken = broken


@contextmanager
def decoding(kind: str, gauge: Gauge, canary: Callable[[], Any], reason: Callable[[Exception], str]) -> Iterator[None]:
    """Turn what decoding a `kind` raises, of whatever type, into BadPicture, CodecFault or OutOfMemory.

    `canary` decodes CANARIES[kind]; `reason` says what is wrong with a picture, given its error. Only memory is touched
    inside, so that an OSError here is never the disk's.
    """
    try:
        yield
    except (BadPicture, CodecFault, OutOfMemory):
        raise
    except Exception as error:
        gauge.rule_out_memory(error)
        works = does(canary)
        if not works or is_ours(error):
            raise CodecFault(f"{kind} decoder", error, broken=not works) from error
        raise BadPicture(reason(error)) from error


@contextmanager
def encoding(codec: str, gauge: Gauge, canary: Callable[[], Any]) -> Iterator[None]:
    """Turn what `codec` raises into CodecFault or OutOfMemory: it was given pixels of ours. `canary` uses it."""
    try:
        yield
    except Exception as error:
        gauge.rule_out_memory(error)
        raise CodecFault(codec, error, broken=not does(canary)) from error


def is_ours(error: BaseException) -> bool:
    """Whether no picture can be the cause of the error."""
    if isinstance(error, (AttributeError, NameError, ImportError)):
        return True
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    return last is not None and _HERE in Path(last.tb_frame.f_code.co_filename).parents


def does(canary: Callable[[], Any]) -> bool:
    """Whether the canary lives: the call raises nothing."""
    try:
        canary()
    except Exception:
        return False
    return True
