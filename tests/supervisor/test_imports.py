"""No import circle is left, those inside functions counted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("supervisor", "workers", "ipc", "health")


def modules() -> dict[str, Path]:
    """Every module of the program by its name."""
    files = [file for package in PACKAGES for file in (CHECKOUT / package).rglob("*.py")]
    names = [file.relative_to(CHECKOUT).with_suffix("").as_posix().replace("/", ".") for file in files]
    return {name.removesuffix(".__init__"): file for name, file in zip(names, files, strict=True)}


def imports(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The program's modules that the file imports, wherever in it the statement stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names if alias.name in known)
            case ast.ImportFrom(str(module), names, 0):
                inner = {f"{module}.{alias.name}" for alias in names}
                yield from inner & known.keys()
                if module in known and not inner <= known.keys():
                    yield module


def test_there_is_no_import_circle() -> None:
    known = modules()
    graph = {name: set(imports(file, known)) for name, file in known.items()}
    assert len(graph) > 100 and "ipc.transport.messages" in graph["supervisor.child.runtime"]
    TopologicalSorter(graph).prepare()  # CycleError names the circle
