"""The rule for flaky tests: one that fails and then passes alone does not fail the run, three of them do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import outcomes, suite
from tests.outcomes import Outcomes
from tests.suite import MOST_RUN_AGAIN, judge, run_again

PARALLEL = ("-n", "2", "-q", "-p", "no:cacheprovider")

FLAKY = """
import os, pathlib, pytest

def first_time(name):
    try:
        pathlib.Path(name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

@pytest.mark.parametrize("text", ["a::b [c] ä"])
def test_fails_at_first(text):
    assert not first_time("fails")

def test_crashes_at_first():
    if first_time("crashes"):
        os._exit(9)

@pytest.fixture
def unready():
    assert not first_time("unready")

def test_is_set_up_at_the_second_time(unready):
    pass

def test_passes():
    assert first_time("passes"), "it is not run again"
"""

LEAKING = """
import pytest

@pytest.fixture(scope="session")
def server():
    yield
    assert False, "it has left something behind"

def test_that_passes(server):
    pass
"""


def of(exit_code: int = 1, *, passed: str = "", failed: str = "", broken: str = "") -> Outcomes:
    return Outcomes(exit_code, passed.split(), failed.split(), broken.split())


def names(count: int) -> str:
    return " ".join(f"test_{number}" for number in range(count))


# The decisions


def test_a_run_in_which_nothing_fails_has_passed() -> None:
    assert run_again(of(0, passed="a b")) == []
    assert judge(of(0, passed="a b")).has_passed


def test_what_fails_is_run_again_and_nothing_else() -> None:
    assert run_again(of(passed="a b", failed="c d")) == ["c", "d"]


@pytest.mark.parametrize("count", [1, 2])
def test_up_to_two_flaky_tests_are_named_and_let_pass(count: int) -> None:
    verdict = judge(of(passed="x", failed=names(count)), of(0, passed=names(count)))
    assert verdict.has_passed
    assert verdict.lines[0] == "flaky: test_0 (failed in the run, passed alone)"
    assert verdict.lines[-1] == f"tests: passed, {count} of them flaky: each is a defect to be found"


def test_three_flaky_tests_fail_the_run() -> None:
    verdict = judge(of(failed=names(3)), of(0, passed=names(3)))
    assert not verdict.has_passed
    assert verdict.lines[-1] == "tests: failed: 3 flaky tests, at most 2 may be"


def test_what_fails_alone_as_well_fails_the_run() -> None:
    verdict = judge(of(failed="a b"), of(1, passed="a", failed="b"))
    assert not verdict.has_passed
    assert verdict.lines == [
        "flaky: a (failed in the run, passed alone)",
        "failed: b (failed in the run, and alone)",
        "tests: failed",
    ]


@pytest.mark.parametrize("alone", [of(0), of(1, passed="a"), of(3, passed="a"), of(1, broken="a"), of(-11)], ids=str)
def test_what_does_not_pass_alone_without_a_stain_fails_the_run(alone: Outcomes) -> None:
    assert not judge(of(failed="a"), alone).has_passed


@pytest.mark.parametrize(
    "together",
    [
        of(broken="a"),
        of(failed="a", broken="b"),
        of(),
        of(2, failed="a"),
        of(3, failed="a"),
        of(5),
        of(-9, failed="a"),
        of(failed=names(MOST_RUN_AGAIN + 1)),
    ],
    ids=str,
)
def test_what_is_broken_is_not_run_again(together: Outcomes) -> None:
    assert run_again(together) == []
    verdict = judge(together)
    assert not verdict.has_passed
    assert verdict.lines[-1].startswith("tests: failed")


def test_a_test_that_passes_and_does_not_clean_up_has_not_passed(tmp_path: Path) -> None:
    file = tmp_path / "outcomes"
    reports = [
        ("a", "call", "passed"),
        ("a", "teardown", "failed"),
        ("b", "call", "failed"),
        ("b", "teardown", "failed"),
    ]
    reports += [("c", "setup", "passed"), ("c", "call", "passed"), ("d", "???", "failed"), ("e", "collect", "failed")]
    lines = [
        {"id": one, "when": when, "passed": how == "passed", "failed": how == "failed"} for one, when, how in reports
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert outcomes.read(file, 1) == of(1, passed="c", failed="b d", broken="a e")
    assert outcomes.read(tmp_path / "none", -9) == of(-9)


# With pytest


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a suite of its own."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_failure_a_crash_and_a_set_up_that_failed_are_run_again(fake: Path) -> None:
    (fake / "test_flaky.py").write_text(FLAKY)
    verdict = suite.run(PARALLEL, (), fake)
    flaky = {line.split(" (failed")[0] for line in verdict.lines[:-1]}
    assert flaky == {
        "flaky: test_flaky.py::test_fails_at_first[a::b [c] \\xe4]",
        "flaky: test_flaky.py::test_crashes_at_first",
        "flaky: test_flaky.py::test_is_set_up_at_the_second_time",
    }
    assert not verdict.has_passed and "3 flaky" in verdict.lines[-1]
    (fake / "fails").unlink()
    (fake / "passes").unlink()
    assert suite.run((), (), fake).has_passed


def test_a_failure_that_stays_fails_the_run(fake: Path) -> None:
    (fake / "test_bad.py").write_text("def test_bad():\n    assert False\n\ndef test_good():\n    pass\n")
    verdict = suite.run((), (), fake)
    assert verdict.lines == ["failed: test_bad.py::test_bad (failed in the run, and alone)", "tests: failed"]
    assert not verdict.has_passed


def test_a_leak_at_the_end_fails_the_run_at_once(fake: Path) -> None:
    (fake / "test_leaking.py").write_text(LEAKING)
    verdict = suite.run(PARALLEL, (), fake)
    assert verdict.lines[0] == "failed: test_leaking.py::test_that_passes (not collected, or not cleaned up)"
    assert not verdict.has_passed


def test_what_cannot_be_collected_fails_the_run_at_once(fake: Path) -> None:
    (fake / "test_broken.py").write_text("import nothing_of_this_name\n")
    (fake / "test_flaky.py").write_text(FLAKY)
    verdict = suite.run((), (), fake)
    assert not verdict.has_passed
    assert verdict.lines[0] == "failed: test_broken.py (not collected, or not cleaned up)"
    assert "2" in verdict.lines[-1], "pytest gives up"
    assert not (fake / "fails").exists()
