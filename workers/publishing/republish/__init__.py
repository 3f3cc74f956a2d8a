"""What is published in a way that the settings don't want any more: how much that is, and how it is put right.

`check` counts it. `originals` replaces the originals that are published as they came. `rows` has rows written again
whose URLs begin as `storage.public_url` says no more, or that lack columns of this version. `renditions` has pictures
rendered anew that were rendered by another recipe than today's.
"""

from __future__ import annotations

from workers.publishing.republish.check import check
from workers.publishing.republish.originals import replace_originals
from workers.publishing.republish.renditions import want_renditions
from workers.publishing.republish.rows import SchemaOutdated, fill_rows, write_rows_again

__all__ = ["SchemaOutdated", "check", "fill_rows", "replace_originals", "want_renditions", "write_rows_again"]
