"""One picture into its ladder of WebP and AVIF, a JPEG, a preview for link cards and its appearance.

Promises: `render` ends in every rendition on disk, complete and fsynced; or in BadPicture, a verdict on the picture; or
in CodecFault or OutOfMemory, no verdict; or in the OSError of the disk.

    gate       what is refused before a decoder sees it: format and size from the header alone
    containers what a browser passes over in a broken file, taken out
    colour     what a file states of its colours: gamma, primaries, a code
    codec      decode, shrink, encode: the only home of PIL and pillow_avif
    appearance placeholder, colour and hash of near-duplicates; which part a preview shows
    blame      whose fault a failure is: the picture's or ours; `canaries` show it
    ladder     which renditions a picture gets
    motion     which renditions of an animation move
    presets    what the encoders are told: `images.preset`
    recipe     by what they were made, as their keys say it
    memory     how much memory that takes, and whether a failure may have been for want of it
    priority   no real-time priority for the AV1 encoder's threads
"""

from workers.rendering.imaging.blame import CodecFault
from workers.rendering.imaging.codec import current_recipe, render, warm_up
from workers.rendering.imaging.gate import FORMATS, BadPicture, Limits, inspect
from workers.rendering.imaging.ladder import Ladder, Rendered, widths_for
from workers.rendering.imaging.memory import OutOfMemory, trim
from workers.rendering.imaging.motion import seconds_for

__all__ = [
    "FORMATS",
    "BadPicture",
    "CodecFault",
    "Ladder",
    "Limits",
    "OutOfMemory",
    "Rendered",
    "current_recipe",
    "inspect",
    "render",
    "seconds_for",
    "trim",
    "warm_up",
    "widths_for",
]
