"""What the answer of an S3 service means: the storage's fault or the object's, passing or not. Pure functions.

The codes are those of S3's list of error responses, with the statuses and texts in which R2 differs from it.
"""

from __future__ import annotations

from workers.publishing.storage.protocol import ObjectFault, StorageFault

_MESSAGE_CHARACTERS = 300

_OF_THE_OBJECT = {
    "EntityTooLarge": "it is larger than the service takes in one piece; lower images.max_bytes",
    "KeyTooLongError": "shorten storage.prefix",
    "InvalidObjectName": "check storage.prefix",
    "XMinioInvalidObjectName": "check storage.prefix",
    "InvalidURI": "check storage.prefix",
}
_OF_THE_OBJECT_BY_STATUS = {413: _OF_THE_OBJECT["EntityTooLarge"], 414: _OF_THE_OBJECT["KeyTooLongError"]}

_KEY = "check storage.access_key_id and storage.secret_access_key, and that the key is of this account"
_BUCKET = "make the bucket, or check storage.bucket and storage.endpoint"
_ENDPOINT = "check storage.endpoint and storage.bucket: the bucket is not there, or in another region"
_ROOM = "make room in the service's storage, or raise the bucket's quota"
_RIGHT = "give the key the right to read and write the objects of this bucket"

_FATAL = {
    "InvalidAccessKeyId": "the service does not know the key: check storage.access_key_id",
    "SignatureDoesNotMatch": "check storage.secret_access_key",
    "AccessDenied": _RIGHT,
    "AccountProblem": "ask the service's support",
    "AllAccessDisabled": "ask the service's support",
    "Unauthorized": _KEY,
    "ExpiredToken": "make a new key",
    "InvalidToken": _KEY,
    "NotEntitled": "switch the service on in its dashboard",
    "RequestTimeTooSkewed": "set this machine's clock",
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": "check storage.bucket",
    "AuthorizationHeaderMalformed": _ENDPOINT,
    "PermanentRedirect": _ENDPOINT,
    "QuotaExceeded": _ROOM,
    "XMinioAdminBucketQuotaExceeded": _ROOM,
    "XMinioStorageFull": _ROOM,
}
_FATAL_BY_STATUS = {
    301: _ENDPOINT,
    307: _ENDPOINT,
    308: _ENDPOINT,
    401: _KEY,
    403: _RIGHT,
    404: _BUCKET,
    405: "check storage.endpoint: what answers there is no S3 service",
    507: _ROOM,
}


_PASSING = {"NoSuchKey", "RequestTimeout", "SlowDown", "ServiceUnavailable", "InternalError", "OperationAborted"}
"""Codes of errors that pass, whatever status a service gives them."""


def fault_of(where: str, status: int, code: str, message: str, pause: float | None) -> StorageFault | ObjectFault:
    """The fault that a refused put, get, list or delete is. `where` is what was asked for, `pause` from Retry-After.

    What is not known is a passing fault of the storage: then everything waits and nothing is lost.

    >>> fault_of("r2.example/media/a.webp", 503, "SlowDown", "Please reduce your request rate.", 2.0)
    StorageFault('r2.example/media/a.webp: 503 SlowDown: Please reduce your request rate. It is tried again')
    """
    said = " ".join(message.split())[:_MESSAGE_CHARACTERS].rstrip(".")
    name = "" if code == str(status) else f" {code}"
    what = f"{where}: {status}{name}: {said}" if said else f"{where}: {status}{name}"
    if remedy := _OF_THE_OBJECT.get(code) or _OF_THE_OBJECT_BY_STATUS.get(status):
        return ObjectFault(f"{what}. To have it taken: {remedy}")
    if remedy := _fatal_remedy(status, code, said):
        return StorageFault(f"{what}. Remedy: {remedy}", fatal=True, retry_after_seconds=pause, remedy=remedy)
    return StorageFault(f"{what}. It is tried again", retry_after_seconds=pause)


def _fatal_remedy(status: int, code: str, said: str) -> str | None:
    if code == "InvalidArgument" and "credential" in said.lower():
        return _FATAL["InvalidAccessKeyId"]  # R2, to a key id that has not the length of one
    if code in _PASSING:
        return None
    return _FATAL.get(code) or _FATAL_BY_STATUS.get(status)
