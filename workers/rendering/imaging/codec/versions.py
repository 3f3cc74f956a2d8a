"""The versions of the libraries that a rendition's bytes come from, and the recipe of them."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import PIL
from PIL import features

from workers.rendering.imaging.codec.pillow import avif_versions
from workers.rendering.imaging.codec.scaler import SCALER
from workers.rendering.imaging.recipe import recipe_of


@cache
def libraries() -> dict[str, str]:
    """The version of each library by name, as it says itself: the decoders' and the scaler's too."""
    of_pillow = {name: str(features.version(name)) for name in ("webp", "libjpeg_turbo", "littlecms2")}
    return {"pillow": PIL.__version__, "scaler": SCALER, **of_pillow, **avif_versions()}


def current_recipe(preset: str, fallbacks: Collection[str] = (), *, animations: bool = True) -> str:
    """Return the recipe of what is rendered now: 8 hex digits. `fallbacks`: as the keys of `Rendered.fallbacks`."""
    return recipe_of(preset, libraries(), fallbacks, animations=animations)
