"""Runs all tests in parallel, then those that failed once more, alone: python -m tests.suite [ARGUMENT OF PYTEST]…

A test that passes alone is flaky: the last lines name it, and it does not fail the run. Three of them do. What fails
alone as well, cannot be collected, leaks or ends pytest itself fails the run as ever.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import outcomes
from tests.outcomes import Outcomes

TOGETHER = ("-n", "6", "--dist", "worksteal")
"""Half of the time is spent waiting for processes: six at a time keep two cores busy. Each begins with a sixth of
the tests in their order, so that those of a file share what it starts, and then takes over what others have left."""

TOO_MANY_FLAKY = 3

MOST_RUN_AGAIN = 10
"""Beyond this something is broken for all of them, and three flaky tests fail the run anyway."""

TESTS_FAILED = 1
"""pytest's exit code for tests that failed; a higher one is for a run that did not get to its end."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the run has passed, and what its last lines are."""

    has_passed: bool
    lines: list[str]


def run_again(together: Outcomes) -> list[str]:
    """The tests that are run once more, alone: none where nothing that they do could still make the run pass."""
    is_hopeless = together.exit_code != TESTS_FAILED or together.broken or len(together.failed) > MOST_RUN_AGAIN
    return [] if is_hopeless else together.failed


def judge(together: Outcomes, alone: Outcomes | None = None) -> Verdict:
    """The verdict on a run; `alone` is what the tests did that were run again."""
    passed_alone = set(alone.passed) if alone else set()
    flaky = [one for one in together.failed if one in passed_alone]
    failed = [one for one in together.failed if one not in passed_alone]
    lines = [f"flaky: {one} (failed in the run, passed alone)" for one in flaky]
    lines += [f"failed: {one} (failed in the run{', and alone' if alone else ''})" for one in failed]
    lines += [f"failed: {one} (not collected, or not cleaned up)" for one in together.broken]
    if together.exit_code == 0:
        return Verdict(True, [*lines, "tests: passed"])
    if together.exit_code != TESTS_FAILED:
        return Verdict(False, [*lines, f"tests: failed: pytest ended with exit code {together.exit_code}"])
    if together.broken or failed:
        return Verdict(False, [*lines, "tests: failed"])
    if alone is None or alone.exit_code != 0:
        return Verdict(False, [*lines, "tests: failed: no test did, but pytest says so"])
    if len(flaky) >= TOO_MANY_FLAKY:
        return Verdict(False, [*lines, f"tests: failed: {len(flaky)} flaky tests, at most {TOO_MANY_FLAKY - 1} may be"])
    return Verdict(True, [*lines, f"tests: passed, {len(flaky)} of them flaky: each is a defect to be found"])


def run(together: Sequence[str], arguments: Sequence[str], folder: Path | None = None) -> Verdict:
    """Run pytest in `folder` with both lists of arguments, then what failed with the second one only."""
    first = _pytest([*together, *arguments], folder)
    again = run_again(first)
    if not again:
        return judge(first)
    print(f"== alone: {len(again)} that failed", flush=True)
    return judge(first, _pytest([*arguments, *again], folder))


def _pytest(arguments: Sequence[str], folder: Path | None) -> Outcomes:
    with tempfile.TemporaryDirectory(prefix="outcomes-") as temporary:
        file = Path(temporary) / "outcomes"
        command = [sys.executable, "-P", "-m", "pytest", "-p", "tests.outcomes", f"--outcomes={file}", *arguments]
        return outcomes.read(file, subprocess.run(command, cwd=folder, check=False).returncode)


def main() -> int:
    try:
        verdict = run(TOGETHER, sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    print(*verdict.lines, sep="\n", flush=True)
    return 0 if verdict.has_passed else 1


if __name__ == "__main__":
    sys.exit(main())
