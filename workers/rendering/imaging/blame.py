"""Whose fault it is that a codec failed: the picture's, or ours. Only decoding may blame the picture.

5,909 odd files from the public made Pillow raise OSError, ValueError, SyntaxError, RuntimeError, IndexError, TypeError
and struct.error: so the type of an error says little. What says more is a canary, a tiny good picture of the same
format, which goes the same way right after: where that fails too, the codec is broken and every picture would die of
it, as after a broken upgrade. An AttributeError, NameError or ImportError no file has ever caused, and an error that
our own lines raise is ours in any case.
"""

from __future__ import annotations

from base64 import b85decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from workers.rendering.imaging.gate import BadPicture
from workers.rendering.imaging.memory import Gauge, OutOfMemory

_HERE: Final = Path(__file__).parent

CANARIES: Final = {
    "JPEG": b85decode(
        "|JeWF01!$>Nk#wx0RR9200961|JwjV01yid4h#wq4h;?x5fBp?C>j_R78o%jB^@X_Gd(;xGdMRuNL)@pL{~*OI8bd-S6^ahXlFi6ad~iLcwA"
        "*?WB=O#Lje&I5*QU2FB%#zV?sDWV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`F1uV`Klo01*fP2mlBJ0U`hb5"
        "di}c0sq7R6aWDL00000000000000000030!~ho%0RRI400000000000000002X7R|HJ?k0RaF20000000000000000095Q02C1c000000000"
        "00000000000|Jncy0|5X65d#qbKLA6kzybf+"
    ),
    "PNG": b85decode(
        "iBL{Q4GJ0x0000DNk~Le00008000082m$~A084Et+yDRoCP_p=RCt_Y6c7+#zy?_4<>j$UC@LyqmrzhpptS_!`}gm$N&o<ABn4QwDE@2!000"
        "0<MNUMnLSTX"
    ),
    "WEBP": b85decode("Qb|TeG5`PoS4BclR!}$~CIA2ckO2Ul0V)Up2mk><CMBc*0_K{WzySXGct2LE$KYG}f1Ka|000"),
    "AVIF": b85decode(
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh20002%ZDn*}000000000XXk=`10000000000aA{+7000000000000000000004sdC7Z2$"
        "lO000310016oY;R)#0000)000310RR910RR926951JBLDyZC~0YKW&i*H00031000_kZf0cy000000RRADb}%tRZ)|UJ00000YH4tCZ~y=RO"
        "KEUpZvX%Q6lrsCWdHyG000002mk;82mk;85O8UDX#fBK00RgJ2mk;83}JRLLxBJc000006Ju{|a&BX6cmM$a4FCp!0000NX>e^}000000000"
        "1009I60)qqq001j(WMOm?015~g2)}56hJ!*f6&lBfh2hLF!vcT+0FX70t4U$)k$?"
    ),
    "GIF": b85decode("M@dFFH(>|>2mpZq0MO9TfPjENKtK=>5G()y000O82mk;G9RLRi94JtL!Gj1B3JAckp~Hs(07#rjv7*I^0RaFz"),
}
"""A picture of 8×8 pixels of each format, not made by our own encoders at run time: those may be broken as well."""


class CodecFault(Exception):
    """A decoder or encoder of ours failed, for no fault of the picture. `str()` is the reason, for the dead letters.

    `codec` names it ("WebP encoder"). `broken`: it fails on the canary as well, so no other picture will fare better.
    """

    def __init__(self, codec: str, error: BaseException, *, broken: bool) -> None:
        where = "" if broken else " on this picture, though not on others"
        super().__init__(
            f"our {codec} failed{where}: {type(error).__name__}: {str(error)[:200]}."
            " This is no fault of the picture; after an upgrade: bin/run retry --all"
        )
        self.codec = codec
        self.broken = broken


@contextmanager
def decoding(kind: str, gauge: Gauge, canary: Callable[[], Any], reason: Callable[[Exception], str]) -> Iterator[None]:
    """Turn what decoding a `kind` raises, of whatever type, into BadPicture, CodecFault or OutOfMemory.

    `canary` decodes CANARIES[kind]; `reason` says what is wrong with a picture that fails so. Only memory is touched
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
    """Turn what `codec` raises into CodecFault or OutOfMemory: it was given pixels of ours. `canary` has it work."""
    try:
        yield
    except Exception as error:
        gauge.rule_out_memory(error)
        raise CodecFault(codec, error, broken=not does(canary)) from error


def is_ours(error: BaseException) -> bool:
    """Whether no picture can be the cause of it."""
    if isinstance(error, (AttributeError, NameError, ImportError)):
        return True
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    return last is not None and Path(last.tb_frame.f_code.co_filename).parent == _HERE


def does(canary: Callable[[], Any]) -> bool:
    """Whether it goes well."""
    try:
        canary()
    except Exception:
        return False
    return True
