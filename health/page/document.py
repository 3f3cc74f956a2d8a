"""The page's document, and the headers that keep what it shows harmless."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from health.answers import Answer

NOSNIFF = (b"x-content-type-options", b"nosniff")
NO_REFERRER = (b"referrer-policy", b"no-referrer")
SAME_ORIGIN = (b"cross-origin-resource-policy", b"same-origin")
NO_STORE = (b"cache-control", b"no-store")

FILE = Path(__file__).with_name("page.html")


def document(public_url: str, text: str | None = None) -> Answer:
    """The page. It may run its own script and style, show pictures of ours and from `public_url`, and nothing else."""
    text = FILE.read_text(encoding="utf-8") if text is None else text
    body = text.encode()
    policy = content_security_policy(text, public_url)
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"content-security-policy", policy.encode()),
        (b"cross-origin-opener-policy", b"same-origin"),
        NOSNIFF,
        NO_REFERRER,
        NO_STORE,
    )
    return Answer(200, body, headers)


def content_security_policy(text: str, public_url: str) -> str:
    """The policy for that document, which names its inline script and style by their digests.

    >>> content_security_policy("<style>a</style><script>b</script>", "https://pictures.example.org/x").split("; ")[3]
    "img-src 'self' data: https://pictures.example.org"
    """
    images = " ".join(filter(None, ("'self'", "data:", origin(public_url))))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digests('script', text)}",
            f"style-src {_digests('style', text)}",
            f"img-src {images}",
            "connect-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def origin(url: str) -> str:
    """Scheme, host and port of an HTTP address; empty if it is none.

    >>> origin("https://pictures.example.org:8443/x/"), origin(""), origin("file:///var/media"), origin("https://a;b/")
    ('https://pictures.example.org:8443', '', '', '')
    """
    parts = urlsplit(url)
    is_plain = re.fullmatch(r"[A-Za-z0-9.\-\[\]:]+", parts.netloc)  # nothing that could add to the policy
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and is_plain else ""


def _digests(tag: str, text: str) -> str:
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in contents)
    return " ".join(f"'sha256-{one}'" for one in digests)
