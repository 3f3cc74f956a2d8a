"""What an answer of a Supabase project means: whose fault it is, whether it passes, and what to do. Pure functions.

An answer is judged by the code in its body (PostgREST's PGRST…, or PostgreSQL's of five characters), and by its status
where there is none: gateways and proxies in between answer in words of their own.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from workers.publishing.catalog.protocol import CatalogFault, RowFault
from workers.publishing.service.retry_after import pause_seconds

APPLY = 'Apply the schema: bin/run schema | psql "$DATABASE_URL", or paste what it prints into the SQL editor'
MACHINES = (
    'Apply the SQL of many machines: bin/run schema --machines | psql "$DATABASE_URL", or paste what it prints into'
    " the SQL editor"
)

NODE: Final = "picturedesk_node"
"""The role of a node's own key, as deploy/machines.sql makes it."""

KEY = (
    "Put the secret key (sb_secret_…, or the older service_role key) into catalog.key;"
    " the project's settings show it under API keys"
)
ADDRESS = "Check catalog.url and the network"
DASHBOARD = "It is tried again; if it lasts, the project's dashboard shows its health"

ROOM = (
    "Make room in the database, or give it a larger disk: the project's dashboard has it under Database, Settings."
    " A project whose disk is full is read-only until there is room again"
)
READ_ONLY = f"{ROOM}. If somebody has made it read-only (default_transaction_read_only), have that taken back"
OVERLOAD = f"Drop the other overload of the function, which applying the schema does. {APPLY}"
RESTORE = "Restore the project in its dashboard"

_TEXT_CHARACTERS = 300
"""Longest text that is kept of an answer. Some proxies answer with whole pages."""

_CODE = re.compile(r"PGRST[0-9A-Z]{1,4}|([0-9][0-9A-Z]|F0|HV|P0|PT|XX)[0-9A-Z]{3}")
"""PostgREST's codes and PostgreSQL's. What else gateways and proxies put under that name says nothing here."""

_MISSING_FUNCTION = {"PGRST202", "42883"}
_MISSING = {*_MISSING_FUNCTION, "PGRST204", "PGRST205", "42P01", "42703"}
"""Codes for tables and columns too: PGRST… is the interface's copy of the schema, others are the database itself."""

_AMBIGUOUS = {"PGRST203", "42725"}

_NO_PARAMETER = "22023"
"""A code of the class of data errors. Here it is about the role in the key, which does not exist."""

_FATAL: dict[str, tuple[str, str]] = {
    "25006": ("the database is read-only", READ_ONLY),
    "53100": ("the database's disk is full", ROOM),
    "42501": ("the key may not do this", f"{KEY}. Or: {APPLY}"),
    "42P10": (
        "the database refuses this",
        f"A primary key that ingest_messages() relies on is missing: restore it. {APPLY}",
    ),
    "PGRST106": (
        "the tables are not to be had",
        "Expose the schema public in the project's settings, under Data API",
    ),
    "PGRST300": (
        "the interface cannot check keys",
        "Set the JWT secret of the project's interface: PostgREST's jwt-secret",
    ),
    **dict.fromkeys(("PGRST301", "PGRST302", "PGRST303", _NO_PARAMETER), ("the key is refused", KEY)),
    **dict.fromkeys(_AMBIGUOUS, ("there is more than one function of that name", OVERLOAD)),
}
"""Errors that no waiting helps against, by code, and what to do."""

_PASSING: tuple[tuple[str, str, str], ...] = (
    ("57014", "the database gave it up, because it took too long", DASHBOARD),
    ("40", "another transaction was in its way", "It is tried again"),
    ("55P03", "another transaction was in its way", "It is tried again"),
    ("53200", "the database is out of memory", DASHBOARD),
    ("53300", "the database has no connection left", DASHBOARD),
    ("PGRST00", "the database is not to be had", DASHBOARD),
    ("57P", "the database is not to be had", DASHBOARD),
    ("53", "the database is not to be had", DASHBOARD),
    ("08", "the database is not to be had", DASHBOARD),
    ("28", "the database is not to be had", DASHBOARD),
    ("PGRST1", "the interface does not understand the question", f"{ADDRESS}, and what is between. {DASHBOARD}"),
    ("PGRST", "the interface fails", DASHBOARD),
    ("42", "the schema is another than it should be", f"Look with bin/run check. {APPLY}"),
    ("XX", "the database fails", DASHBOARD),
)
"""Errors that pass, by the first letters of the code (the longer before the shorter), and what to do if they do not."""


class Missing(CatalogFault):
    """A table, a column or a function is not there. `is_function` tells one that was called from what it needs."""

    def __init__(self, text: str, *, is_function: bool, retry_after_seconds: float | None) -> None:
        super().__init__(text, fatal=True, retry_after_seconds=retry_after_seconds, remedy=APPLY)
        self.is_function = is_function

    def of_machines(self) -> Missing:
        """This fault, for what deploy/machines.sql makes."""
        missing = Missing(
            str(self).replace(APPLY, MACHINES),
            is_function=self.is_function,
            retry_after_seconds=self.retry_after_seconds,
        )
        missing.remedy = MACHINES
        return missing


class Ambiguous(CatalogFault):
    """There are two functions of that name, and the interface cannot tell which is meant."""


def of_answer(status: int, headers: Mapping[str, str], body: str, *, where: str, now: float) -> CatalogFault | RowFault:
    """The fault that an answer other than a success stands for. `now` is Unix seconds.

    The code is looked at first: the statuses that PostgREST gives them mean something else to everybody else. It says
    300 of a function that is there twice, and 405 of a database that is read-only.
    """
    code, text = _error(body)
    text = text or f"status {status}"
    pause = pause_seconds(headers.get("retry-after", ""), now)
    if code:
        return _of_code(code, text, where, pause)
    return _of_status(status, headers, text, where, pause)


def _of_code(code: str, text: str, where: str, pause: float | None) -> CatalogFault | RowFault:
    if _is_of_row(code):
        return RowFault(f"{where}: the row is refused: {text} ({code})")
    if code in _MISSING:
        remedy = f"{APPLY}. If it has just been applied, the interface sees it in a moment"
        is_function = code in _MISSING_FUNCTION
        return Missing(f"{where}: {text} ({code}). {remedy}", is_function=is_function, retry_after_seconds=pause)
    if code in _FATAL:
        what, remedy = _FATAL[code]
        kind = Ambiguous if code in _AMBIGUOUS else CatalogFault
        return kind(f"{where}: {what}: {text} ({code}). {remedy}", fatal=True, retry_after_seconds=pause, remedy=remedy)
    what, remedy = next(
        ((what, remedy) for begin, what, remedy in _PASSING if code.startswith(begin)), ("fails", DASHBOARD)
    )
    return CatalogFault(f"{where}: {what}: {text} ({code}). {remedy}", retry_after_seconds=pause)


def _of_status(
    status: int, headers: Mapping[str, str], text: str, where: str, pause: float | None
) -> CatalogFault | RowFault:
    """The fault by the status that a gateway, or a proxy in between, gives."""
    if status == 413:
        return RowFault(f"{where}: the row is refused: it is larger than what the service takes ({text})")
    fatal = {
        401: ("the key is refused", KEY),
        402: ("the project is restricted", "See the project's dashboard: its plan allows no more"),
        403: ("the key is refused", KEY),
        540: ("the project is paused", RESTORE),
    }
    if status in fatal:
        what, remedy = fatal[status]
        return CatalogFault(
            f"{where}: {what}: {text} ({status}). {remedy}", fatal=True, retry_after_seconds=pause, remedy=remedy
        )
    what, remedy = "fails", DASHBOARD
    if status == 429:
        what = "too many requests"
    elif 300 <= status < 400:
        what = f"redirects to {_clip(headers.get('location', 'nowhere'))}"
        remedy = "Put the address itself into catalog.url"
    elif status == 404:
        what, remedy = "nothing is there", ADDRESS
    elif 520 <= status <= 530:
        what = "Cloudflare cannot reach the project"
    return CatalogFault(f"{where}: {what}: {text} ({status}). {remedy}", retry_after_seconds=pause)


def of_nonsense(answer: object, *, where: str) -> CatalogFault:
    """The fault of a success that is none: a proxy or a captive portal has answered in the service's place."""
    text = _clip(str(answer))
    return CatalogFault(f"{where}: the answer is not the catalogue's, but {text!r}. {ADDRESS}")


def halves(key: str) -> tuple[str, str | None]:
    """The key for the gateway, and the token behind it, if it is another: that of a node's own role.

    >>> halves("sb_publishable_x:eyJ.e30.x"), halves("sb_secret_x")
    (('sb_publishable_x', 'eyJ.e30.x'), ('sb_secret_x', None))
    """
    api_key, colon, token = key.partition(":")
    return api_key, token if colon else None


def is_of_node(key: str) -> bool:
    """Whether it stands for the role that is a node's own, as far as it shows."""
    return _claims(_token(key)).get("role") == NODE


def wrong_with(key: str, now: float) -> str | None:
    """Why this key cannot be the right one, as far as it shows; None if it may be. `now` is Unix seconds."""
    if key.startswith("sb_secret_"):
        return None
    token = _token(key)
    if token.startswith("sb_publishable_"):
        return "catalog.key is the publishable key, which may only read"
    claims = _claims(token)
    if "role" not in claims:
        return "catalog.key is of no known kind"
    role, expires = claims["role"], claims.get("exp")
    if role not in ("service_role", NODE):
        return f"catalog.key stands for the role {role}, which may not write"
    if isinstance(expires, int | float) and expires < now:
        return "catalog.key has expired"
    return None


def _token(key: str) -> str:
    api_key, token = halves(key)
    return api_key if token is None else token


def _claims(token: str) -> dict[str, Any]:
    """What a JWT claims; nothing if it is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    return claims if isinstance(claims, dict) else {}


def is_jwt(key: str) -> bool:
    """Whether a key is of the old kind, which is sent as a bearer token as well."""
    return key.count(".") == 2


def _is_of_row(code: str) -> bool:
    """Data exceptions and violated constraints, what a trigger of the operator's refuses, and what is too large.

    The classes 22 and 23; P0001, which is what RAISE EXCEPTION says if it says nothing else, and PT…, with which it
    chooses a status; the class 54.
    """
    return (code[:2] in ("22", "23", "54", "PT") or code == "P0001") and code != _NO_PARAMETER


def _error(body: str) -> tuple[str, str]:
    """Code and message of an answer; the code is empty if it is none of PostgREST's or PostgreSQL's."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return "", _clip(_title(body))
    if not isinstance(error, dict):
        return "", _clip(body)
    code = error.get("code")
    text = _clip(str(error.get("message") or error.get("msg") or error.get("error") or ""))
    return (code if isinstance(code, str) and _CODE.fullmatch(code) else ""), text


def _title(body: str) -> str:
    """The title of a page, instead of its markup."""
    found = re.search(r"<title[^>]*>(.*?)</title>", body, re.IGNORECASE | re.DOTALL)
    return found[1] if found else body


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}…"
