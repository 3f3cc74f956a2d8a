"""What an answer means, without a service: codes, statuses and headers as they come, and as they might."""

from __future__ import annotations

import json

import pytest

from tests.servers.gateway import Keys
from workers.publishing.catalog.protocol import CatalogFault, RowFault
from workers.publishing.catalog.supabase.answers import Missing, of_answer, of_nonsense, wrong_with
from workers.publishing.service.retry_after import LONGEST_SECONDS

WHERE = "example.supabase.co"
NOW = 1_738_404_000.0
PAGE = "<html><title>Bad gateway</title></html>"


def judge(status: int, body: object = None, **headers: str) -> CatalogFault | RowFault:
    text = body if isinstance(body, str) else json.dumps(body)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return of_answer(status, names, text, where=WHERE, now=NOW)


def error(code: str | None, message: str = "what is wrong") -> dict[str, str | None]:
    return {"code": code, "message": message, "hint": None, "details": "Failing row contains (secrets)."}


@pytest.mark.parametrize(
    "code",
    [
        "22P02",
        "22P05",
        "22003",
        "22007",
        "22001",
        "23502",
        "23503",
        "23505",
        "23514",
        "54000",
        "54001",
        "P0001",
        "PT418",
    ],
)
def test_data_and_constraints_are_the_rows(code: str) -> None:
    fault = judge(400, error(code))
    assert isinstance(fault, RowFault)
    assert str(fault) == f"{WHERE}: the row is refused: what is wrong ({code})"


def test_too_large_is_the_rows() -> None:
    assert isinstance(judge(413, PAGE), RowFault)


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (404, "PGRST202", "bin/run schema"),
        (404, "PGRST205", "bin/run schema"),
        (400, "PGRST204", "bin/run schema"),
        (404, "42P01", "bin/run schema"),
        (400, "42703", "bin/run schema"),
        (404, "42883", "bin/run schema"),
        (401, "42501", "secret key"),
        (403, "42501", "secret key"),
        (401, "PGRST301", "secret key"),
        (401, "PGRST302", "secret key"),
        (401, "PGRST303", "secret key"),
        (400, "22023", "secret key"),
        (400, "42P10", "primary key"),
        (401, None, "secret key"),
        (403, None, "secret key"),
        (406, "PGRST106", "Expose the schema"),
        (500, "PGRST300", "JWT secret"),
        (300, "PGRST203", "Drop the other overload of the function, which applying the schema does. Apply the schema"),
        (405, "25006", "read-only until there is room again"),
        (503, "53100", "Make room in the database"),
        (402, None, "its plan allows no more"),
        (540, None, "Restore the project in its dashboard"),
        (401, "ERROR", "secret key"),  # of no kind that we know: then the status tells
    ],
)
def test_what_no_waiting_helps(status: int, code: str | None, remedy: str) -> None:
    fault = judge(status, error(code))
    assert isinstance(fault, CatalogFault)
    assert fault.fatal
    assert fault.retry_after_seconds is None
    asks_for_a_pause = judge(status, error(code), retry_after="7")
    assert isinstance(asks_for_a_pause, CatalogFault)
    assert asks_for_a_pause.retry_after_seconds == 7.0
    assert str(fault).startswith(f"{WHERE}: ")
    assert "what is wrong" in str(fault)
    assert remedy in str(fault)


@pytest.mark.parametrize(("code", "is_function"), [("PGRST202", True), ("42883", True), ("42P01", False)])
def test_what_is_missing(code: str, is_function: bool) -> None:
    fault = judge(404, error(code))
    assert isinstance(fault, Missing)
    assert fault.is_function == is_function


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, error("PGRST000"), "the database is not to be had: what is wrong (PGRST000)"),
        (503, error("PGRST001"), "the database is not to be had"),
        (503, error("PGRST002"), "the database is not to be had"),
        (504, error("PGRST003"), "the database is not to be had"),
        (503, error("57P01"), "the database is not to be had"),
        (503, error("57P03"), "the database is not to be had"),
        (503, error("53300"), "the database has no connection left"),
        (503, error("53200"), "the database is out of memory"),
        (503, error("53400"), "the database is not to be had"),
        (500, error("40P01", "deadlock detected"), "another transaction was in its way: deadlock detected (40P01)"),
        (409, error("40001"), "another transaction was in its way"),
        (500, error("57014"), "it took too long: what is wrong (57014)"),
        (403, error("28P01"), "the database is not to be had"),
        (400, error("PGRST102"), "the interface does not understand the question"),
        (500, error("PGRSTX00"), "the interface fails"),
        (500, error("XX000"), "the database fails"),
        (405, error("42P17"), "the schema is another than it should be"),
        (500, error("58030"), "fails: what is wrong (58030)"),
        (500, {"code": 25006, "message": "a proxy's"}, "fails: a proxy's (500)"),
        (522, PAGE, "Cloudflare cannot reach the project: Bad gateway (522)"),
        (500, "[" * 100_000, "fails: [["),
        (429, error(None), "too many requests: what is wrong (429)"),
        (502, PAGE, "fails: Bad gateway (502)"),
        (500, "null", "fails: null (500)"),
        (500, "[]", "fails: [] (500)"),
        (500, "{}", "fails: status 500 (500)"),
        (404, PAGE, "nothing is there"),
        (504, "x" * 10_000, "…"),
    ],
)
def test_what_passes(status: int, body: object, said: str) -> None:
    fault = judge(status, body)
    assert isinstance(fault, CatalogFault)
    assert not fault.fatal
    assert said in str(fault)
    assert len(str(fault)) < 600


def test_a_redirect_says_where_to() -> None:
    assert "redirects to https://elsewhere.example/" in str(judge(301, "", location="https://elsewhere.example/"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("0", 0.0),
        ("Sat, 01 Feb 2025 10:00:30 GMT", 30.0),
        ("Sat, 01 Feb 2025 09:00:00 GMT", 0.0),
        ("9" * 500, LONGEST_SECONDS),
        ("-3", None),
        ("Sat, 01 Feb 2025 10:00:30 +99999999999999999999", None),
        ("soon", None),
        ("", None),
    ],
)
def test_how_long_the_service_wants_to_be_left_alone(value: str, seconds: float | None) -> None:
    fault = judge(429, error(None), retry_after=value)
    assert isinstance(fault, CatalogFault)
    assert fault.retry_after_seconds == seconds


def test_a_success_that_is_none() -> None:
    fault = of_nonsense(PAGE * 100, where=WHERE)
    assert "Bad gateway" in str(fault)
    assert "catalog.url" in str(fault)
    assert not fault.fatal
    assert len(str(fault)) < 600


def test_keys_that_show_what_they_are() -> None:
    keys = Keys()
    assert wrong_with(keys.new_secret, NOW) is None
    assert wrong_with(keys.service_role, NOW) is None
    assert wrong_with(keys.new_publishable, NOW) == "catalog.key is the publishable key, which may only read"
    assert wrong_with(keys.anon, NOW) == "catalog.key stands for the role anon, which may not write"
    assert wrong_with(keys.of_node, NOW) is None
    assert wrong_with(keys.of_node, NOW * 2) == "catalog.key has expired"
    assert wrong_with(f"{keys.anon}:{keys.anon}", NOW) == "catalog.key stands for the role anon, which may not write"
    assert wrong_with(keys.jwt("service_role"), NOW * 2) == "catalog.key has expired"


@pytest.mark.parametrize("key", ["", "secret", "a.b.c", "..", "a.bnVsbA.c", "a.e30.c", "a.W10.c", "ü.ü.ü"])
def test_keys_of_no_kind(key: str) -> None:
    assert wrong_with(key, NOW) == "catalog.key is of no known kind"
