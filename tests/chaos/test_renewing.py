"""Pictures of an earlier version are rendered anew by a running tree, killed at each step of that: none is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ipc import failpoints
from ipc.files.object_layout import preview_key, rendition_key
from ipc.journal import Journal, lookup, renewals, transitions
from ipc.posts import BACKFILL
from tests import lengths
from tests.chaos.signs import killed
from tests.hosted import HostedInstance
from tests.instance import Instance, wait_for
from tests.ipc.tables import sql
from tests.pictures import make_export
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from workers.publishing import storage as storages
from workers.publishing.storage import NewObject

CHANNEL = 4242
EACH = [name for name in failpoints.NAMES if name.startswith("renewed.")]
LONG = [*EACH, "rendered.before", "published.put", "published.recorded"]
POINTS = LONG if lengths.is_long else ["renewed.begun", "renewed.deleted"]
"""Between them is all that can be lost. `tests/workers/publishing/test_renewals.py` has the rest without processes, and
with a bucket."""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("renewing") / "export", 3)


def make_older(state_dir: Path, options: dict[str, Any], folder: Path) -> None:
    """Leave what version 1.0 has left: renditions without a recipe in their keys, in the rows and in the journal."""
    journal, storage = Journal.open(state_dir / "journal.db"), storages.make(options)
    prefix = options["storage"]["prefix"]
    for (job_id,) in sql(journal, "SELECT id FROM jobs WHERE state = 'published'"):
        job = lookup.job(journal, job_id)
        assert job is not None and job.recipe
        storage.delete(preview_key(job, prefix))
        former = [one for one in job.renditions if one.format != "jpeg"]
        for one in job.renditions:
            if one not in former:
                storage.delete(rendition_key(job, one, prefix))
                continue
            source = folder / "object"
            source.write_bytes(storage.read(rendition_key(job, one, prefix)) or b"")
            key = rendition_key(replace(job, recipe=None), one, prefix)
            storage.put_all([NewObject(key, source, f"image/{one.format}")])
            storage.sync()
            storage.delete(rendition_key(job, one, prefix))
            source.unlink()
        packed = msgpack.packb([[one.width, one.height, one.format, one.bytes] for one in former])
        sql(journal, "UPDATE jobs SET renditions = ? WHERE id = ?", packed, job_id)
    sql(journal, "UPDATE jobs SET recipe = NULL, appearance = NULL, preview_bytes = NULL")
    assert sum(transitions.write_again(journal, address, BACKFILL, 99) for address in (None, 1))
    storage.close()
    journal.close()


@pytest.fixture(scope="module")
def older(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state_dir of an earlier version that has published three pictures."""
    instance = Instance(tmp_path_factory.mktemp("older") / "instance", export)
    try:
        instance.start()
        instance.wait_until_done()
        assert instance.stop() == 0
    finally:
        instance.end()
    options = {"state_dir": str(instance.state_dir), "storage": {"prefix": "", "public_url": ""}}
    make_older(instance.state_dir, options, instance.folder)
    return instance.state_dir


def names(instance: Instance) -> set[bool]:
    """Whether the rows name renditions that have a recipe."""
    return {"-" in one["key"].rpartition("/")[2] for row in instance.rows() for one in row["renditions"]}


def wait_until_renewed(instance: Instance) -> None:
    journal = Journal.open_to_read(instance.state_dir / "journal.db")
    try:
        wait_for("the old objects to be gone", lambda: not any(renewals.counts(journal).values()))
    finally:
        journal.close()


def renew(instance: Instance, **environment: str) -> None:
    """Start the tree on what an earlier version has left, and have all of it rendered anew."""
    instance.start(**environment)
    instance.wait_until_running()
    instance.wait_until_done()
    assert names(instance) == {False}
    asked = instance.command("republish", "--renditions")
    assert asked.returncode == 0, asked.stderr
    assert "3 pictures are rendered anew now" in asked.stdout
    wait_until_renewed(instance)
    instance.wait_until_done()
    assert names(instance) == {True}
    assert "All pictures are rendered by today's recipe" in instance.answer("republish", "--renditions").stdout
    assert instance.stop() == 0


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step(point: str, older: Path, export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    shutil.copytree(older, instance.state_dir)
    if point == "renewed.begun":  # then they are fetched from the export once more
        for original in (instance.state_dir / "media").rglob("stripped.*"):
            original.unlink()
    renew(instance, PICTUREDESK_FAILPOINT=point)
    assert len(killed(instance)) == 1, "the failpoint was never reached"
    instance.assert_published([1, 2, 3])
    instance.assert_nothing_left()


@pytest.mark.skipif(not lengths.is_long, reason="as a tree; the steps are in every run: bin/test --long")
def test_with_a_bucket_and_a_project(
    object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path: Path
) -> None:
    row_server.empty()
    with object_server.bucket() as bucket:
        instance = HostedInstance(tmp_path / "instance", export, object_server, row_server, bucket)
        try:
            instance.start()
            instance.wait_until_done()
            assert instance.stop() == 0
            given = {name: getattr(object_server, name) for name in ("endpoint", "access_key_id", "secret_access_key")}
            settings = {"backend": "r2", "bucket": bucket, "prefix": "pictures/", "public_url": "", "concurrency": 4}
            options = {"state_dir": str(instance.state_dir), "storage": settings | given}
            make_older(instance.state_dir, options, tmp_path)
            renew(instance)
            instance.assert_published([1, 2, 3])
            instance.assert_nothing_left()
        finally:
            instance.end()


def test_only_what_is_asked_for(older: Path, export: Path, make_instance: Callable[..., Instance]) -> None:
    """By channel and day; and what else the command may be told."""
    instance = make_instance(export)
    shutil.copytree(older, instance.state_dir)
    for words in (["--channel", "5"], ["--since", "2999-01-01"]):
        answer = instance.answer("republish", "--renditions", *words)
        assert (answer.returncode, "All pictures are rendered" in answer.stdout) == (0, True), answer
    assert instance.answer("republish", "--urls", "--since", "2025-01-01").returncode == 2
    assert instance.answer("republish", "--renditions", "--since", "tomorrow").returncode == 2
    unknown = instance.answer("republish", "--renditions", "--channel", "@nobody_knows")
    assert unknown.returncode == 1 and "no channel is known" in unknown.stderr
