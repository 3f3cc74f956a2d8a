"""A pytest plugin that writes down how each test ended, one line each, so that the lines outlast a crash of pytest.

pytest -p tests.outcomes --outcomes FILE
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pytest


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What one run of pytest has to say of its tests, by node id and in the order in which they ended."""

    exit_code: int
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """In their set-up or themselves, crashes and time-outs included."""
    broken: list[str] = field(default_factory=list)
    """Files that could not be collected, and tests that passed but failed to clean up behind them."""


def read(path: Path, exit_code: int) -> Outcomes:
    """Read what the plugin wrote; nothing passed and nothing failed where it did not get to write."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    reports = [json.loads(line) for line in lines]
    failed = dict.fromkeys(one["id"] for one in reports if one["failed"] and one["when"] not in ("collect", "teardown"))
    broken = dict.fromkeys(one["id"] for one in reports if one["failed"] and one["id"] not in failed)
    passed = dict.fromkeys(one["id"] for one in reports if one["when"] == "call" and one["passed"])
    return Outcomes(exit_code, [one for one in passed if one not in {**failed, **broken}], list(failed), list(broken))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, metavar="FILE", help="write down how each test ended, one line each")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--outcomes")
    if path is not None and not hasattr(config, "workerinput"):  # the controller hears of all that its workers do
        file = path.open("w", encoding="utf-8", buffering=1)
        config.add_cleanup(file.close)
        config.pluginmanager.register(_Writer(file))


class _Writer:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._write(report.nodeid, report.when, report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(report.nodeid, "collect", report)

    def _write(self, node_id: str, when: str, report: pytest.TestReport | pytest.CollectReport) -> None:
        line = {"id": node_id, "when": when, "passed": report.passed, "failed": report.failed}
        self._file.write(json.dumps(line) + "\n")
