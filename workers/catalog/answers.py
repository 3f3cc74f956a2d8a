"""What an answer of a Supabase project means: whose fault it is, whether it passes, and what to do. Pure functions.

An answer is judged by the code in its body (PostgREST's PGRST…, or PostgreSQL's of five characters), and by its status
where there is none: gateways and proxies in between answer in words of their own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import partial

from workers.catalog.protocol import CatalogFault, RowFault
from workers.retry_after import pause_seconds

APPLY = 'Apply the schema: bin/run schema | psql "$DATABASE_URL", or paste what it prints into the SQL editor'
KEY = (
    "Put the secret key (sb_secret_…, or the older service_role key) into catalog.key;"
    " the project's settings show it under API keys"
)
ADDRESS = "Check catalog.url and the network"
DASHBOARD = "It is tried again; if it lasts, the project's dashboard shows its health"

_TEXT_CHARACTERS = 300
"""Of what the service says: some proxies answer with whole pages."""

_MISSING_FUNCTION = {"PGRST202", "42883"}
_MISSING = {*_MISSING_FUNCTION, "PGRST204", "PGRST205", "42P01", "42703"}
"""Tables and columns too. PGRST… is the interface's copy of the schema, the others are the database itself."""

_REFUSED_KEY = {"PGRST300", "PGRST301", "PGRST302", "PGRST303"}

_NO_PARAMETER = "22023"
"""Of the class of data errors, but what it is said of here is the role in the key: it does not exist."""


class Missing(CatalogFault):
    """A table, a column or a function is not there. `is_function` tells one that was called from what it needs."""

    def __init__(self, text: str, *, is_function: bool, retry_after_seconds: float | None) -> None:
        super().__init__(text, fatal=True, retry_after_seconds=retry_after_seconds, remedy=APPLY)
        self.is_function = is_function


def of_answer(status: int, headers: Mapping[str, str], body: str, *, where: str, now: float) -> CatalogFault | RowFault:
    """The fault that an answer other than a success stands for. `now` is Unix seconds."""
    code, text = _error(body)
    text = text or f"status {status}"
    if _is_of_row(code):
        return RowFault(f"{where}: the row is refused: {text} ({code})")
    if status == 413:
        return RowFault(f"{where}: the row is refused: it is larger than what the service takes ({text})")
    pause = pause_seconds(headers.get("retry-after", ""), now)
    fatal = partial(CatalogFault, fatal=True, retry_after_seconds=pause)
    if code in _MISSING:
        remedy = f"{APPLY}. If it has just been applied, the interface sees it in a moment"
        is_function = code in _MISSING_FUNCTION
        return Missing(f"{where}: {text} ({code}). {remedy}", is_function=is_function, retry_after_seconds=pause)
    if code == "42501":
        return fatal(f"{where}: the key may not do this: {text} ({code}). {KEY}. Or: {APPLY}", remedy=KEY)
    if code == "42P10":
        remedy = f"A primary key that ingest_messages() relies on is missing: restore it. {APPLY}"
        return fatal(f"{where}: {text} ({code}). {remedy}", remedy=remedy)
    if code == "PGRST106":
        remedy = "Expose the schema public in the project's settings, under Data API"
        return fatal(f"{where}: {text} ({code}). {remedy}", remedy=remedy)
    if code in {*_REFUSED_KEY, _NO_PARAMETER} or status in (401, 403):
        return fatal(f"{where}: the key is refused: {text} ({code or status}). {KEY}", remedy=KEY)
    what, remedy = _of_passing(status, code, headers)
    return CatalogFault(f"{where}: {what}: {text} ({code or status}). {remedy}", retry_after_seconds=pause)


def of_nonsense(answer: object, *, where: str) -> CatalogFault:
    """The fault of a success that is none: a proxy or a captive portal has answered in the service's place."""
    text = _clip(str(answer))
    return CatalogFault(f"{where}: the answer is not the catalogue's, but {text!r}. {ADDRESS}")


def wrong_with(key: str, now: float) -> str | None:
    """Why this key cannot be the right one, as far as it shows; None if it may be. `now` is Unix seconds."""
    if key.startswith("sb_secret_"):
        return None
    if key.startswith("sb_publishable_"):
        return "catalog.key is the publishable key, which may only read"
    try:
        payload = key.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        role, expires = claims["role"], claims.get("exp")
    except (ValueError, LookupError, TypeError, AttributeError):
        return "catalog.key is of no known kind"
    if role != "service_role":
        return f"catalog.key stands for the role {role}, which may not write"
    if isinstance(expires, int | float) and expires < now:
        return "catalog.key has expired"
    return None


def is_jwt(key: str) -> bool:
    """Whether a key is of the old kind, which is sent as a bearer token as well."""
    return key.count(".") == 2


def _is_of_row(code: str) -> bool:
    """Data exceptions and violated constraints, what a trigger of the operator's refuses, and what is too large.

    The classes 22 and 23; P0001, which is what RAISE EXCEPTION says if it says nothing else; the class 54.
    """
    return len(code) == 5 and (code[:2] in ("22", "23", "54") or code == "P0001") and code != _NO_PARAMETER


def _of_passing(status: int, code: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """What has happened, and what to do."""
    if code.startswith(("PGRST00", "57P", "53", "08")):
        return "the database is not to be had", DASHBOARD
    if status == 429:
        return "too many requests", DASHBOARD
    if status == 540:
        return "the project is paused", "Restore it in its dashboard"
    if 300 <= status < 400:
        return f"redirects to {headers.get('location', 'nowhere')}", "Put the address itself into catalog.url"
    if status == 404:
        return "nothing is there", ADDRESS
    return "fails", DASHBOARD


def _error(body: str) -> tuple[str, str]:
    """Code and message of an answer; the code is empty if it is none of PostgREST's."""
    try:
        error = json.loads(body)
    except ValueError:
        return "", _clip(body)
    if not isinstance(error, dict):
        return "", _clip(body)
    return str(error.get("code") or ""), _clip(str(error.get("message") or error.get("msg") or ""))


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}…"
