"""What botocore's exceptions mean: why there was no answer, and what an answer's status and code were."""

from __future__ import annotations

from botocore import exceptions as boto

NONSENSE = "answered as no S3 service does"
NONSENSE_REMEDY = "Check storage.endpoint, and what is between it and this machine. It is tried again"


def reason_of(error: Exception) -> str:
    """Why no usable answer came, and what to do."""
    match error:
        case boto.SSLError():
            return f"no trusted connection: {error}. Check storage.endpoint, this machine's clock and its certificates"
        case boto.EndpointConnectionError():
            return "nobody answers there. Check storage.endpoint and the network. It is tried again"
        case boto.ConnectTimeoutError():
            return "no connection in time. Check storage.endpoint and the network. It is tried again"
        case boto.ReadTimeoutError():
            return "no answer in time. It is tried again"
        case boto.ConnectionClosedError():
            return "the connection was cut before there was an answer. It is tried again"
        case boto.ParamValidationError():
            return f"{' '.join(str(error).split())}. Check storage.bucket and storage.prefix"
        case AttributeError() | LookupError() | TypeError():
            return f"{NONSENSE} ({type(error).__name__}: {error}). {NONSENSE_REMEDY}"
        case _:
            return f"{type(error).__name__}: {' '.join(str(error).split())}. It is tried again"


def status_of(fault: Exception) -> int | None:
    """The HTTP status of the answer that a fault of `Bucket.ask` came from; None if there was no answer."""
    error = fault.__cause__
    if not isinstance(error, boto.ClientError):
        return None
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")


def code_of(fault: Exception) -> str | None:
    """S3's error code in the answer that a fault of `Bucket.ask` came from; None if there was no answer."""
    error = fault.__cause__
    return error.response.get("Error", {}).get("Code") if isinstance(error, boto.ClientError) else None


def passes_quickly(fault: Exception) -> bool:
    """Whether it came at once: an answer or a cut connection, and no time-out."""
    if isinstance(fault.__cause__, boto.ClientError):
        return status_of(fault) in (500, 502, 503, 504)
    return isinstance(fault.__cause__, boto.ConnectionClosedError)
