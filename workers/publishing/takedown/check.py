"""What `bin/run check` says of the CDN: whether it forgets what it is asked to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipc.process.checklist import Checklist
from workers.publishing.takedown.cloudflare import API, TOKEN, Cloudflare, PurgeFault

UNUSED = ".picturedesk-check"
"""The name of no object. Cloudflare's own check of a token says nothing of the zone, nor of the permission."""


def check(options: Mapping[str, Any], tried: Checklist) -> None:
    """Purge an address without an object: only that shows that token, zone and address belong together.

    `options` are the uploader's. Says nothing if no CDN is set.
    """
    storage = options["storage"]
    if not storage["cloudflare_zone"]:
        return
    cdn = Cloudflare(storage["cloudflare_zone"], storage["cloudflare_token"], storage["cloudflare_api"] or API)
    try:
        cdn.purge([f"{storage['public_url'].rstrip('/')}/{storage['prefix']}{UNUSED}"])
    except PurgeFault as fault:
        tell = tried.fail if fault.remedy == TOKEN else tried.warn
        tell(f"storage.cloudflare_token: {fault}. {fault.remedy}")
    else:
        tried.ok("storage.cloudflare_token: Cloudflare forgets addresses of the zone; tried with an unused one")
