"""The requests to one bucket: the client, its settings, and what a failed request raises. boto3's one home.

Nothing is tried twice here, because the journal's retries outlive the process and the breaker keeps the pauses.
botocore's own retries would make both wait for nothing, and stop without a word once their quota is used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import exceptions as boto
from botocore.config import Config
from botocore.handlers import add_expect_header

from workers.publishing.service.retry_after import pause_seconds
from workers.publishing.storage.protocol import StorageFault
from workers.publishing.storage.r2.answers import fault_of
from workers.publishing.storage.r2.faults import NONSENSE, NONSENSE_REMEDY, reason_of
from workers.publishing.storage.r2.uplink import SignsOfLife, http_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

CONNECT_SECONDS = 10.0
"""Longest for a connection, and for a block of an upload to get off: several uploads may share a slow connection."""

READ_SECONDS = 30.0
"""Longest wait for an answer. R2 answers within a second; after thirty it will not."""

CACHE_CONTROL = "public, max-age=31536000, immutable"
"""Keys are digests: what is under a key once is under it for ever."""

_NO_SETTINGS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""Keeps out the AWS settings that this machine has for other programs."""


class Bucket:
    """The bucket `name` at `endpoint`. Threads may share it.

    `address` is how messages name it, `signs` notes when the service last took or gave anything.
    Raises StorageFault if no client can be made for the endpoint.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        name: str,
        access_key_id: str,
        secret_access_key: str,
        concurrency: int,
        connect_seconds: float,
        read_seconds: float,
    ) -> None:
        self.name = name
        self.address = f"{urlsplit(endpoint).netloc.rpartition('@')[2]}/{name}"
        self.signs = SignsOfLife()
        self._secrets = (secret_access_key, access_key_id)
        config = _config(concurrency, connect_seconds, read_seconds)
        try:
            session = botocore.session.Session(session_vars=_NO_SETTINGS)
            self._http = http_of(session, endpoint, config, self.signs)
            self.client: S3Client = boto3.session.Session(botocore_session=session).client(
                "s3",
                endpoint_url=endpoint,
                aws_access_key_id=access_key_id,
                aws_secret_access_key=secret_access_key,
                config=config,
            )
        except (boto.BotoCoreError, ValueError) as error:
            raise StorageFault(self._clean(f"{self.address}: {error}. Check storage.endpoint"), fatal=True) from error
        # R2 never answers `Expect: 100-continue`, so each put would wait a second for it.
        self.client.meta.events.unregister("before-call.s3", add_expect_header)
        self.client.meta.events.register_last("before-parameter-build.s3", _follow_no_redirect)
        self.client.meta.events.register("before-send.s3", self._send)

    def ask(self, key: str, question: Callable[[], T]) -> T:
        """The service's answer. Raises StorageFault or ObjectFault, with botocore's exception as the cause."""
        where = f"{self.address}/{key}"
        try:
            return question()
        except boto.ClientError as error:
            facts, told = error.response.get("ResponseMetadata", {}), error.response.get("Error", {})
            raise fault_of(
                where,
                facts.get("HTTPStatusCode", 0),
                told.get("Code") or "",
                self._clean(told.get("Message") or ""),
                pause_seconds(facts.get("HTTPHeaders", {}).get("retry-after", ""), time.time()),
            ) from error
        # botocore converts what is in an answer unseen, and looks for things that are not in it.
        except (boto.BotoCoreError, ValueError, AttributeError, LookupError, TypeError) as error:
            fatal = isinstance(error, boto.ParamValidationError)
            raise StorageFault(f"{where}: {self._clean(reason_of(error))}", fatal=fatal) from error

    def nonsense(self, key: str) -> StorageFault:
        """The fault of an answer that lacks what every S3 service sends: it was a login page, or a proxy's."""
        return StorageFault(f"{self.address}/{key}: {NONSENSE}. {NONSENSE_REMEDY}")

    def close(self) -> None:
        self.client.close()
        self._http.close()

    def _send(self, request: Any, **_: object) -> Any:
        answer = self._http.send(request)
        self.signs.note()
        return answer

    def _clean(self, text: str) -> str:
        """The text without our secrets, which a service or a proxy may repeat."""
        for secret in filter(None, self._secrets):
            text = text.replace(secret, "…")
        return text


def _config(concurrency: int, connect_seconds: float, read_seconds: float) -> Config:
    return Config(
        region_name="auto",
        # By default a body goes out as aws-chunked with a checksum behind it, which R2 has refused.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"total_max_attempts": 1},
        max_pool_connections=concurrency,
        s3={"addressing_style": "path"},
    )


def _follow_no_redirect(context: dict[str, Any], **_: object) -> None:
    """Keep botocore from asking where a bucket has gone: it would follow redirects until the stack is full."""
    context["s3_redirect"]["redirected"] = True
