"""README and docs/: the README is short, links and paths lead somewhere, and the reference has what the code has."""

from __future__ import annotations

import re
import sqlite3
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from supervisor.log_events import EVENTS
from supervisor.version import VERSION
from tests.docs import reference
from workers.publishing.catalog.embedded import SqliteCatalog

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
README_BYTES = 7000
ROOMS = ("supervisor", "workers", "ipc", "health")
TOP = ("supervisor", "workers", "ipc", "health", "tests", "deploy", "bin", "benchmarks", "examples", "docs")


def links(page: Path) -> list[str]:
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    assert len((CHECKOUT / "README.md").read_bytes()) <= README_BYTES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.exists(), link
        if anchor:
            assert anchor in anchors(file), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, new = set[Path](), {CHECKOUT / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        new |= {one for one in targets if one.suffix == ".md" and one.exists()} - reached
    assert set(PAGES) <= reached


@pytest.mark.parametrize(
    ("page_name", "name"), [(page, name) for page, tables in reference.PAGES.items() for name in tables]
)
def test_a_page_has_the_tables_of_the_code(page_name: str, name: str) -> None:
    page = (reference.DOCS / page_name).read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"

    def section(text: str) -> str:
        return text.split(begin)[1].partition(end)[0]

    assert section(reference.filled(page_name)) == section(page), "run python -m tests.docs.reference --write"


def test_a_folder_has_ten_modules_at_most_but_for_those_that_the_architecture_names() -> None:
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"^A folder holds ten modules at most.*?\n\n", page, re.MULTILINE | re.DOTALL)
    modules = Counter(
        f"{file.parent.relative_to(CHECKOUT)}/"
        for room in ROOMS
        for file in (CHECKOUT / room).rglob("*.py")
        if file.name != "__init__.py"
    )
    assert {folder for folder, count in modules.items() if count > 10} == set(re.findall(r"`([^`]+/)`", told))


def test_every_file_that_a_page_names_exists() -> None:
    missing = {f"{page.name}: {path}" for page in PAGES for path in named_files(page) if not exists(path)}
    assert missing == set()


def named_files(page: Path) -> set[str]:
    """What stands between backticks and looks like a path of the checkout; `*` means what it means to a shell."""
    spans = re.findall(r"`([^`\s]+)`", page.read_text(encoding="utf-8"))
    return {span for span in spans if re.match(rf"({'|'.join(TOP)})/", span)}


def exists(path: str) -> bool:
    """A file or a folder; a module may be named without its ending, whether it is a file or a package."""
    return any(CHECKOUT.glob(path)) or (CHECKOUT / f"{path}.py").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_event_that_a_page_names_is_in_the_list(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {word for words in re.findall(r"((?:`[^`]+`(?:, | and )?)+) in the log", text) for word in words.split("`")}
    assert {word for word in named if "." in word} <= EVENTS.keys()


def test_the_versions_are_one() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
    assert f"## [{VERSION}]" in (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_column_of_the_rows_is_in_the_reference(tmp_path: Path) -> None:
    SqliteCatalog(tmp_path / "catalog.db").close()
    catalog = sqlite3.connect(tmp_path / "catalog.db")
    rows = (
        (CHECKOUT / "docs/reference.md").read_text(encoding="utf-8").partition("\n## Rows\n")[2].partition("\n## ")[0]
    )
    for (table,) in catalog.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        (line,) = [line for line in rows.splitlines() if line.startswith(f"| `{table}` |")]
        columns = {column[1] for column in catalog.execute(f"PRAGMA table_info({table})")}
        assert columns <= set(re.findall(r"`(\w+)`", line)), table
    catalog.close()
