"""The connections that one of the uploader's threads has to itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.catalog import Catalog
from workers.publishing.storage import Storage


class OwnServices:
    """Storage and catalogue of the uploader's `options`, each made when it is first asked for.

    The storage waits `answer_seconds` for an answer, or as long as the settings say. Raises what `make` of each does.
    """

    def __init__(self, options: Mapping[str, Any], answer_seconds: float | None = None) -> None:
        self._options = options
        self._answer_seconds = answer_seconds
        self._storage: Storage | None = None
        self._catalog: Catalog | None = None

    @property
    def storage(self) -> Storage:
        if self._storage is None:
            self._storage = storages.make(self._options, self._answer_seconds)
        return self._storage

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            self._catalog = catalogs.make(self._options)
        return self._catalog

    def close(self) -> None:
        """Let go of both. They are made anew when they are asked for again."""
        for service in (self._storage, self._catalog):
            if service is not None:
                service.close()
        self._storage = self._catalog = None
