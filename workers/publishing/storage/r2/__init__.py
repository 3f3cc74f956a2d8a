"""Objects in a bucket of Cloudflare R2, or of another S3 service that takes `auto` for a region.

`storage` keeps the promises of `..protocol`: `upload` puts one object, `batch` those of several pictures, `objects`
reads, lists and deletes. `bucket` is the home of boto3, `faults` and `answers` say what a failure means.
"""

from __future__ import annotations

from workers.publishing.storage.r2.bucket import CACHE_CONTROL, READ_SECONDS
from workers.publishing.storage.r2.storage import R2Storage

__all__ = ["CACHE_CONTROL", "READ_SECONDS", "R2Storage"]
