"""The copies of a CDN: purged by their addresses, once the objects are deleted, and tried again until it is done.

A failure is in the journal, as a circuit breaker's is: no restart forgets it, and /status tells of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from ipc import failpoints
from ipc.journal import Journal, addresses, breakers
from ipc.journal.outputs import takedowns

if TYPE_CHECKING:
    # Loaded where a zone is set: Python's HTTP client brings e-mail and TLS with it, a tenth of the uploader's start.
    from workers.publishing.takedown.cloudflare import Cloudflare, PurgeFault

SERVICE = "cdn"
"""The journal's name for the CDN among the circuit breakers."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 15.0, 600.0
"""After the first failure in a row, and at most: each further one doubles it."""

log = structlog.get_logger()


class Purges:
    """`settings` is the section `storage`. Without a zone there is nobody to ask."""

    def __init__(self, settings: Mapping[str, Any], journal: Journal) -> None:
        self._journal = journal
        self._zone: str = settings.get("cloudflare_zone", "")
        self._public_url: str = settings["public_url"]
        self._cdn = _cdn(self._zone, settings) if self._zone else None

    def note(self, sha256: str, urls: Iterable[str], keys: Iterable[str]) -> None:
        """Record what is to be purged of a picture: where readers find its objects, and did under the same host."""
        if self._cdn is None:
            return
        public = [url for url in urls if url.startswith(("http://", "https://"))]
        known = addresses.all_of(self._journal)
        takedowns.want_purged(self._journal, sha256, addresses_of(public, list(keys), known))

    def step(self) -> int:
        """Purge some. Returns the number of those that are done."""
        if self._cdn is None:
            if takedowns.to_purge(self._journal, 1):
                log.warning("purge.dropped", why="storage.cloudflare_zone is not set any more")
                takedowns.forget_purges(self._journal)
            forgive(self._journal, SERVICE)
            return 0
        from workers.publishing.takedown.cloudflare import MAX_URLS, PurgeFault  # noqa: PLC0415 - as above

        urls = takedowns.to_purge(self._journal, MAX_URLS)
        if not urls:
            forgive(self._journal, SERVICE)
            return 0
        failure = breakers.get(self._journal, SERVICE)
        now = self._journal.clock()
        if failure is not None and now < failure["silent_until"] <= now + LONGEST_WAIT_SECONDS:
            return 0
        try:
            self._cdn.purge(urls)
        except PurgeFault as fault:
            self._failed(fault, failure, now)
            return 0
        failpoints.reach("takedown.purged")
        takedowns.purged(self._journal, urls)
        forgive(self._journal, SERVICE)
        log.info("copies.purged", urls=len(urls))
        return len(urls)

    def _failed(self, fault: PurgeFault, before: Mapping[str, Any] | None, now: float) -> None:
        since = before["opened_at"] if before else now
        wait = fault.wait_seconds if fault.wait_seconds is not None else wait_seconds(now - since)
        wait = min(max(wait, 1.0), LONGEST_WAIT_SECONDS)
        log.warning("purge.failed", reason=str(fault), seconds=round(wait))
        breakers.put(self._journal, SERVICE, since, now + wait, str(fault), fault.remedy)


def _cdn(zone: str, settings: Mapping[str, Any]) -> Cloudflare:
    from workers.publishing.takedown.cloudflare import API, Cloudflare  # noqa: PLC0415 - as above

    return Cloudflare(zone, settings.get("cloudflare_token", ""), settings.get("cloudflare_api") or API)


def forgive(journal: Journal, service: str) -> None:
    """Forget that the service failed, if it did: it works."""
    if breakers.get(journal, service) is not None:
        breakers.drop(journal, service)


def wait_seconds(failing_seconds: float) -> float:
    """The pause after a failure, when the first one in a row was that long ago.

    >>> [wait_seconds(one) for one in (0.0, 20.0, 100.0, 1e6)]
    [15.0, 20.0, 100.0, 600.0]
    """
    return min(max(failing_seconds, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)


def addresses_of(urls: Iterable[str], keys: Iterable[str], known: Iterable[tuple[str, str]]) -> list[str]:
    """Where copies of these objects may be: at `urls`, and under each known address (URL, prefix) on a host of these.

    >>> addresses_of(["https://a.org/x/1"], ["x/1"], [("https://a.org/old/x/", "x/"), ("https://b.org/x/", "x/")])
    ['https://a.org/old/x/1', 'https://a.org/x/1']
    """
    found = set(urls)
    hosts = {urlsplit(url).netloc for url in found}
    ours = [(url, prefix) for url, prefix in known if urlsplit(url).netloc in hosts and url.startswith("http")]
    for key in keys:
        found |= {url + key.removeprefix(prefix) for url, prefix in ours if key.startswith(prefix)}
    return sorted(found)
