"""/badge.svg: the verdict in two words, for another page to show."""

from __future__ import annotations

from health.answers import Answer
from health.page.document import NO_STORE, NOSNIFF

LABEL = "picturedesk"
GOOD, BAD = "#1a6b3c", "#a3211c"
CHARACTER_PIXELS = 6.5
"""Width of a character of Verdana at 11 px, on average."""

_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {text}">'
    "<title>{label}: {text}</title>"
    '<rect width="{width}" height="20" rx="3" fill="#555"/>'
    '<path d="M{left} 0h{inner}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h-{inner}z" fill="{colour}"/>'
    '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
    '<text x="{label_at}" y="14">{label}</text><text x="{text_at}" y="14">{text}</text></g></svg>'
)


def badge(problems: int) -> Answer:
    """The badge for that number of problems."""
    text = words(problems)
    left, right = _pixels(LABEL), _pixels(text)
    body = _SVG.format(
        label=LABEL,
        text=text,
        left=left,
        inner=right - 3,
        width=left + right,
        label_at=left // 2,
        text_at=left + right // 2,
        colour=BAD if problems else GOOD,
    ).encode()
    headers = (
        (b"content-type", b"image/svg+xml"),
        (b"content-length", b"%d" % len(body)),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
        NOSNIFF,
        NO_STORE,
    )
    return Answer(200, body, headers)


def words(problems: int) -> str:
    """
    >>> words(0), words(1), words(12)
    ('ok', '1 problem', '12 problems')
    """
    if not problems:
        return "ok"
    return f"{problems} {'problem' if problems == 1 else 'problems'}"


def _pixels(text: str) -> int:
    return round(len(text) * CHARACTER_PIXELS) + 12
