"""A tiny good picture of each format: where that does not decode, the decoder is broken, and not the picture."""

from __future__ import annotations

from base64 import b85decode
from typing import Final

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
