"""The recipe: by what a picture's renditions were made, as part of their keys, which never change their bytes. Pure.

How many threads took part, the order of the pictures and the widths of the ladder are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping

PIPELINE_VERSION = 3
"""To be raised by whoever changes the bytes of any rendition (decoding, colours, scaling, encoders' settings).

`tests/workers/rendering/imaging/test_recipe.py` finds out. Version 2 added JPEG, preview and appearance, so that
`republish --renditions` makes them for older pictures; version 3 chooses AVIF's quality by two measures more.
"""


def recipe_of(
    preset: str,
    libraries: Mapping[str, str],
    fallbacks: Collection[str] = (),
    pipeline: int = PIPELINE_VERSION,
    *,
    animations: bool = True,
) -> str:
    """Return 8 hex digits of the preset, the version of each library by name, and the version of the pipeline.

    Without `animations` it is another one, for all pictures: the same key must not stand for what moves and what does
    not. `fallbacks` names what could not be made as it should be: those bytes are others. So such a picture is rendered
    anew by `republish --renditions`, like one of an older version.

    >>> recipe_of("balanced", {"libwebp": "1.6.0", "libavif": "1.4.2"}, pipeline=1)
    '407b6239'
    """
    without = [] if animations else ["without animations"]
    parts = json.dumps([pipeline, preset, sorted(libraries.items()), *sorted([*fallbacks, *without])])
    return hashlib.sha256(parts.encode()).hexdigest()[:8]
