"""The tree that the page states: every target is there, every option is plain data, nobody is told too much."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import msgpack
import pytest

from supervisor import child_options, tree
from supervisor.child.runtime import resolve
from supervisor.processes import policy
from supervisor.processes import spec as specs
from supervisor.processes.spec import ChildSpec, numbered
from supervisor.processes.subtree import children_of
from supervisor.settings import Settings, load
from supervisor.settings.commands import RESERVED, WORKER, CommandSettings
from supervisor.start import Start

SECRET = "s3cret-token"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    environ = {"PICTUREDESK__HEALTH__TOKEN": SECRET, "PICTUREDESK__POOL__WORKERS": "3"}
    return load(None, environ, tmp_path, tmp_path)


def everyone(settings: Settings) -> Iterator[ChildSpec]:
    """Every child spec, those of nested supervisors too."""
    for spec in tree.children(settings, 5, Start(1.0, 1.0, "")):
        yield spec
        if "children" in spec.options:
            yield from children_of(spec.options)


def image_workers(settings: Settings) -> tuple[ChildSpec, ...]:
    return numbered(tree.image_worker(settings), child_options.worker_count(settings))


def test_the_order_of_starting(settings: Settings) -> None:
    assert [spec.name for spec in everyone(settings)] == [
        "health",
        "uploader",
        "pool",
        "image-1",
        "image-2",
        "image-3",
        "connection",
    ]
    assert [spec.name for spec in everyone(settings) if spec.after_others] == ["connection"], "intake last"


def with_commands(settings: Settings, *commands: CommandSettings, script: str = "") -> Settings:
    return replace(settings, supervisor=replace(settings.supervisor, command=commands, worker_script=script))


def test_the_operators_commands_come_last(settings: Settings) -> None:
    given = with_commands(
        settings,
        CommandSettings(
            name="b", command=("x", "y z"), directory=Path("/d"), environment=(("A", "1"),), stop_signal="SIGINT"
        ),
        CommandSettings(name="a", command=("x",), restart="temporary", stop_seconds=3.0, memory_cap_mb=7),
        script="python ingest.py",
    )
    *ours, worker, b, a = tree.children(given, 5, Start(1.0, 1.0, ""))
    assert [spec.name for spec in ours] == ["health", "uploader", "pool", "connection"]
    assert (worker.name, b.name, a.name) == ("worker", "b", "a")
    assert worker.command == specs.CommandSpec(("python", "ingest.py"), ".")
    assert b.command == specs.CommandSpec(("x", "y z"), "/d", {"A": "1"}, "SIGINT")
    assert (a.restart, a.stop_seconds, a.cap_bytes, a.after_others) == ("temporary", 3.0, 7 * 2**20, True)
    assert not policy.is_hung(1e9, 0.0, 0.0, a.hang_seconds)


def test_no_command_may_take_the_name_of_one_of_ours(settings: Settings) -> None:
    taken = {"root", "image", *(one.name for one in everyone(settings))}
    assert all(RESERVED.fullmatch(name) for name in taken)
    assert not RESERVED.fullmatch(WORKER)


HOME = Path(__file__).resolve().parents[2]


def dotted_targets() -> set[str]:
    """Every "package.module:name" that stands in the supervisor's code: the tree's children, and what commands run."""
    pattern = re.compile(r"(workers|health|ipc|supervisor)(\.\w+)+:\w+")
    nodes = (node for file in (HOME / "supervisor").rglob("*.py") for node in ast.walk(ast.parse(file.read_text())))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if pattern.fullmatch(text)}


def test_every_target_resolves(settings: Settings) -> None:
    targets = dotted_targets()
    in_use = {spec.target for spec in (*everyone(settings), tree.importer(settings, Path("/x"), 1, 1))}
    in_use |= set(tree.CHECKS)
    assert in_use | {tree.pool_options(settings)["router"]} <= targets
    assert len(targets) > len(in_use) + 3, "those of the commands"
    for target in sorted(targets):
        assert callable(resolve(target)), target


def test_every_check_resolves_and_gets_options(settings: Settings) -> None:
    assert tree.CHECKS
    targets = {spec.target.partition(":")[0]: spec.options for spec in everyone(settings)}
    for target, options in tree.CHECKS.items():
        assert callable(resolve(target))
        assert any(options(settings).items() <= given.items() for given in targets.values())


def test_a_node_is_tried_as_far_as_it_works(settings: Settings) -> None:
    def tried(role: str) -> set[str]:
        return set(tree.checks(replace(settings, machines=replace(settings.machines, role=role))))

    assert tried("all") == tried("origin") == set(tree.CHECKS)
    assert tried("node") == set(tree.OF_A_NODE) < set(tree.CHECKS)


def test_options_are_plain_data(settings: Settings) -> None:
    for spec in everyone(settings):
        packed = msgpack.packb(asdict(spec))
        assert msgpack.unpackb(packed)["options"] == json.loads(json.dumps(spec.options)), spec.name
        inner = ChildSpec(**msgpack.unpackb(packed))
        assert replace(inner, inherit_fds=tuple(inner.inherit_fds), options=spec.options) == spec


def test_a_secret_goes_to_the_one_that_needs_it(settings: Settings) -> None:
    told = {spec.name for spec in everyone(settings) if SECRET in json.dumps(asdict(spec))}
    assert told == {"health"}


@pytest.mark.parametrize(
    ("backend", "given", "is_on", "gallery"),
    [
        ("files", "auto", True, "site/"),
        ("files", "false", False, ""),
        ("r2", "auto", False, ""),
        ("r2", "true", True, "https://p.example/a%20b/site/index.html"),
    ],
)
def test_feeds_and_gallery_are_in_a_bucket_only_if_asked_for(
    backend: str, given: str, is_on: bool, gallery: str, settings: Settings
) -> None:
    """There they are public at once, under addresses that anybody can guess."""
    where = replace(settings.storage, backend=backend, public_url="https://p.example/", prefix="a b/")
    plain = replace(settings, storage=where, feeds=replace(settings.feeds, enabled="false"))
    plain = replace(plain, site=replace(settings.site, enabled="false"))
    feeds = replace(plain, feeds=replace(settings.feeds, enabled=given))
    site = replace(plain, site=replace(settings.site, enabled=given))
    told = [
        (one["feeds"]["enabled"], one["site"]["enabled"]) for one in map(child_options.uploader_options, (feeds, site))
    ]
    assert told == [(is_on, False), (False, is_on)]
    assert child_options.uploader_options(feeds)["feeds"]["is_asked_for"] == (given == "true")
    assert (child_options.gallery(feeds), child_options.gallery(site)) == ("", gallery)
    assert child_options.gallery(replace(site, storage=replace(where, public_url=""))) == (
        "site/" if backend == "files" and is_on else ""
    )


def test_an_image_worker_knows_its_limits_and_nothing_else(settings: Settings) -> None:
    for worker in image_workers(settings):
        assert worker.options.keys() == {"limits", "ladder", "strip", "gc_every", "spool", "largest_cap_bytes"}
        others = {key: value for key, value in worker.options.items() if key != "spool"}  # where its workplace is
        assert str(settings.state_dir) not in json.dumps(others)
        assert worker.sandbox == "auto" and worker.goes_first
        assert worker.cap_bytes == settings.pool.memory_cap_mb * 2**20 > 0
        assert worker.nice > 0 and worker.inherit_fds == ()


def test_only_health_gets_the_socket(settings: Settings) -> None:
    assert {spec.name: spec.inherit_fds for spec in everyone(settings) if spec.inherit_fds} == {"health": (5,)}


@pytest.mark.parametrize(("workers", "expected"), [(0, len(os.sched_getaffinity(0))), (1, 1), (7, 7)])
def test_image_workers_one_a_core_unless_said_otherwise(workers: int, expected: int, settings: Settings) -> None:
    given = replace(settings, pool=replace(settings.pool, workers=workers))
    names = [spec.name for spec in image_workers(given)]
    assert names == [f"image-{number}" for number in range(1, expected + 1)]


def test_the_intensity_is_as_configured_and_the_pools_is_smaller(settings: Settings) -> None:
    intensity = tree.root_intensity(settings)
    assert asdict(intensity) == {"max_restarts": 100, "window_seconds": 3600.0, "delay_seconds": 10.0}
    assert tree.POOL_INTENSITY.max_restarts < intensity.max_restarts


@pytest.mark.parametrize("drain", [0.0, 30.0, 3600.0])
def test_any_drain_that_is_allowed_makes_good_specs(drain: float, settings: Settings) -> None:
    given = replace(settings, supervisor=replace(settings.supervisor, drain_seconds=drain))
    assert all(spec.stop_seconds > 0 for spec in everyone(given))


def test_the_picture_of_the_tree_names_everyone(settings: Settings) -> None:
    drawn = re.findall(r"[├└]── (\S+) *(\S*)", tree.__doc__ or "")
    targets = {spec.name: spec.target.removesuffix(":main") for spec in everyone(settings)}
    names = ["health", "uploader", "pool", "image-1", "image-N", "connection", "import", "NAME"]
    assert [name for name, _ in drawn] == names
    assert {name: target for name, target in drawn if target and name in targets}.items() <= targets.items()


def python(code: str) -> str:
    """What the code prints in a process of its own, in the checkout."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOME)
    return done.stdout


def test_the_supervisor_knows_no_client_library() -> None:
    """What the root imports stays small: no worker, no HTTP server, no picture library."""
    code = "import sys, supervisor.root; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in python(code).split()}
    assert not loaded & {"workers", "health", "PIL", "starlette", "uvicorn", "ijson", "tqdm", "telethon", "boto3"}


def test_what_structlog_imports_and_nobody_uses_is_not_loaded() -> None:
    code = (
        "import supervisor.root, sys; assert 'asyncio.events' not in sys.modules;"
        " import asyncio; from asyncio import TaskGroup; assert asyncio.TaskGroup is TaskGroup;"
        " import asyncio.subprocess; print(asyncio.run(asyncio.sleep(0, 'awake')))"
    )
    assert python(code) == "awake\n"


@pytest.mark.parametrize("job_seconds", ["5", "60", "600"])
def test_whether_a_job_takes_too_long_is_the_pools_to_say(job_seconds: str, tmp_path: Path) -> None:
    """Not the watchdog's, which would call it a hang: a worker's main loop stands while it is at a job."""
    settings = load(None, {"PICTUREDESK__POOL__JOB_SECONDS": job_seconds}, tmp_path, tmp_path)
    pool = next(spec for spec in everyone(settings) if spec.name == "pool")
    image = next(spec for spec in everyone(settings) if spec.name == "image-1")
    assert pool.options["job_seconds"] == float(job_seconds)
    assert image.hang_seconds > pool.options["job_seconds"]
    assert image.stall_seconds > pool.options["job_seconds"] * pool.options["deadline_multiplier"]


def test_the_pool_is_told_where_its_workers_get_cgroups(settings: Settings) -> None:
    start = Start.now()
    for cgroup in (None, Path("/sys/fs/cgroup/ours")):
        pool = next(spec for spec in tree.children(settings, 5, start, cgroup) if spec.name == "pool")
        assert pool.options["cgroup"] == str(cgroup or "")
