"""Webhooks of a running tree: kills lose nothing, /status tells of receivers that fail, and no secret is anywhere."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc import failpoints
from tests import lengths
from tests.instance import Instance, wait_for
from tests.pictures import CHANNEL, make_export
from tests.servers.receiver import SECRET, Answer, Receiver, Request
from tests.test_problems import problems, wait_for_problems

pytestmark = pytest.mark.tree
MakeInstance = Callable[..., Instance]

POINTS = [name for name in failpoints.NAMES if name.startswith("webhook.")]
HASTE = {"PICTUREDESK__BREAKER__TIMEOUT_SECONDS": "0.5", "RETRY_DELAY_BASE_SECS": "0.3"}


def tables(*receivers: Receiver) -> str:
    return "".join(f'[[webhook]]\nurl = "{one.url}"\nsecret = "{SECRET}"\n' for one in receivers)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("webhooks") / "export", 4, size=(200, 150))


@pytest.fixture
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    with Receiver() as one, Receiver() as other:
        yield one, other


def webhooks_of(instance: Instance) -> list[dict[str, Any]]:
    status = instance.status()
    return status["webhooks"] if status else []


def accepted(receiver: Receiver, instance: Instance) -> dict[int, dict[str, Any]]:
    """What it was told last of each picture, once nothing waits for any webhook."""
    wait_for("all to be told", lambda: {one["waiting"] for one in webhooks_of(instance)} == {0})
    return {one.picture[1]: one.content["data"] for one in receiver.requests if one.content}


def assert_told(receiver: Receiver, instance: Instance) -> None:
    """Each row that readers see was told, as it is; a repetition has the id of what it repeats."""
    told = accepted(receiver, instance)
    rows = {row["message_id"]: row for row in instance.rows()}
    assert told.keys() == rows.keys() == {1, 2, 3, 4}
    assert all(told[number]["channel_id"] == CHANNEL and told[number]["src"] for number in told)
    assert {number: told[number]["caption"] for number in told} == {n: f"caption {n}" for n in rows}
    ids = {(one.picture, one.type): one.id for one in receiver.requests}
    assert len(set(ids.values())) == len(ids) == 4
    assert all(ids[one.picture, one.type] == one.id for one in receiver.requests)


def assert_no_secret(instance: Instance, receiver: Receiver) -> None:
    secrets = (SECRET, SECRET.removeprefix("whsec_"), "a-token", "key=hidden")
    journal = b"".join(path.read_bytes() for path in instance.state_dir.glob("journal.db*"))
    with urllib.request.urlopen(f"{instance.url()}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    for text in (instance.log.read_text(), json.dumps(instance.status()), metrics, str(journal)):
        assert not any(secret in text for secret in secrets)
    assert f"127.0.0.1:{receiver.port}" in json.dumps(instance.status())


@pytest.mark.reaches("webhook.failing", "webhook.gone")
def test_one_fails_one_is_gone_and_the_uploader_is_killed(
    export: Path, make_instance: MakeInstance, receivers: tuple[Receiver, Receiver]
) -> None:
    failing, gone = receivers
    failing.answer, gone.answer = lambda _: Answer(404), lambda _: Answer(410)
    instance = make_instance(export, tables(failing, gone))
    instance.start(PICTUREDESK_FAILPOINT="webhook.sent", **HASTE)
    instance.wait_until_done()
    found = wait_for_problems(instance, "webhook.failing", "webhook.gone")
    assert "webhook 1" in found["webhook.failing"] and "it answered 404 (Not Found)" in found["webhook.failing"]
    assert "webhook 2" in found["webhook.gone"] and "410" in found["webhook.gone"]
    assert_no_secret(instance, failing)
    gone.answer = failing.answer = lambda _: Answer()
    revived = instance.command("retry", "--webhooks")
    assert revived.returncode == 0 and "webhook 2" in revived.stdout and "told of changes again" in revived.stdout
    for receiver in receivers:
        assert_told(receiver, instance)
    wait_for("the problems to be gone", lambda: not problems(instance))
    killed = [record["child"] for record in instance.records() if record.get("what") == "killed by SIGKILL"]
    assert killed == ["uploader"]
    shown = instance.answer("status").stdout
    assert "webhook 2 (http://127.0.0.1:" in shown and "waiting 0, delivered 4, dead 0, breaker closed" in shown
    rows = webhooks_of(instance)
    assert [(one["kind"], one["delivered"], one["circuit_breaker"], one["gone_at"]) for one in rows] == [
        ("events", 4, "closed", None)
    ] * 2
    assert instance.stop() == 0
    assert_no_secret_on_disk(instance)


def assert_no_secret_on_disk(instance: Instance) -> None:
    for path in instance.state_dir.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.skipif(not lengths.is_long, reason="the same kill at every step: bin/test --long")
@pytest.mark.parametrize("point", [*POINTS, "webhook.sent:3", "webhook.after:2"])
def test_killed_at_any_step(
    point: str, export: Path, make_instance: MakeInstance, receivers: tuple[Receiver, Receiver]
) -> None:
    receiver, _ = receivers

    def answer(request: Request) -> Answer:
        """The first attempt at one picture is refused."""
        return Answer(422 if request.picture[1] == 2 and len(of(2)) == 1 else 204)

    def of(number: int) -> list[Request]:
        return [one for one in receiver.requests if one.picture[1] == number]

    receiver.answer = answer
    instance = make_instance(export, tables(receiver))
    instance.start(PICTUREDESK_FAILPOINT=point, **HASTE)
    instance.wait_until_done()
    assert_told(receiver, instance)
    killed = [record["child"] for record in instance.records() if record.get("what") == "killed by SIGKILL"]
    assert killed == ["uploader"]
    assert instance.stop() == 0
    instance.assert_published([1, 2, 3, 4])
