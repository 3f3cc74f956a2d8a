"""What an S3 service's answers mean: a truth table."""

from __future__ import annotations

import doctest

import pytest

from workers.publishing.storage import ObjectFault, StorageFault
from workers.publishing.storage.r2 import answers
from workers.publishing.storage.r2.answers import fault_of


def test_examples() -> None:
    assert doctest.testmod(answers).failed == 0


@pytest.mark.parametrize(
    ("status", "code", "message", "meaning"),
    [
        (400, "EntityTooLarge", "", "object"),
        (400, "KeyTooLongError", "", "object"),
        (413, "", "", "object"),
        (414, "414", "", "object"),
        (400, "InvalidArgument", "Credential access key has length 7, should be 32", "fatal"),
        (400, "InvalidArgument", "Invalid storage class", "passing"),
        (400, "AuthorizationHeaderMalformed", "", "fatal"),
        (400, "ExpiredToken", "", "fatal"),
        (400, "RequestTimeout", "", "passing"),
        (400, "BadDigest", "", "passing"),
        (400, "IncompleteBody", "", "passing"),
        (400, "400", "Bad Request", "passing"),
        (401, "", "", "fatal"),
        (403, "AccessDenied", "", "fatal"),
        (403, "403", "Forbidden", "fatal"),
        (403, "SignatureDoesNotMatch", "", "fatal"),
        (404, "NoSuchBucket", "", "fatal"),
        (404, "404", "Not Found", "fatal"),
        (301, "PermanentRedirect", "", "fatal"),
        (307, "TemporaryRedirect", "", "fatal"),
        (405, "MethodNotAllowed", "", "fatal"),
        (408, "", "", "passing"),
        (409, "OperationAborted", "", "passing"),
        (418, "", "", "passing"),
        (429, "TooManyRequests", "", "passing"),
        (500, "InternalError", "", "passing"),
        (501, "NotImplemented", "", "passing"),
        (503, "SlowDown", "", "passing"),
        (503, "ServiceUnavailable", "", "passing"),
        (403, "SlowDown", "", "passing"),
        (404, "NoSuchKey", "", "passing"),
        (507, "XMinioStorageFull", "", "fatal"),
        (403, "QuotaExceeded", "", "fatal"),
        (507, "", "", "fatal"),
        (522, "522", "", "passing"),
    ],
)
def test_the_meaning(status: int, code: str, message: str, meaning: str) -> None:
    fault = fault_of("host/bucket/key", status, code, message, 5.0)
    assert str(fault).startswith(f"host/bucket/key: {status}")
    if meaning == "object":
        assert isinstance(fault, ObjectFault)
        assert "To have it taken: " in str(fault)
        return
    assert isinstance(fault, StorageFault)
    assert fault.fatal == (meaning == "fatal")
    assert fault.retry_after_seconds == 5.0
    assert ("Remedy: " if fault.fatal else "It is tried again") in str(fault)


def test_a_long_story_is_cut_and_put_on_one_line() -> None:
    text = str(fault_of("host/bucket/key", 500, "InternalError", "word\n " * 1000, None))
    assert len(text) < 400
    assert "word word" in text and "\n" not in text
