"""What an answer means, how a message is signed, what `check` says; and that nobody pays for webhooks who has none."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from ipc.journal import Journal
from ipc.journal.outputs.webhooks import Delivery
from ipc.process.checklist import Checklist
from tests.ipc.builders import HOME
from workers.publishing.webhooks import works
from workers.publishing.webhooks.answers import MessageFault, ReceiverFault, ReceiverGone, fault_of
from workers.publishing.webhooks.check import check
from workers.publishing.webhooks.events import Events
from workers.publishing.webhooks.message import message_of
from workers.publishing.webhooks.rebuild import Rebuild
from workers.publishing.webhooks.target import targets


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_success_is_no_fault(status: int) -> None:
    assert fault_of(status, "", 0) is None


@pytest.mark.parametrize("status", [300, 301, 307, 401, 403, 404, 405, 407])
def test_what_only_a_person_can_mend(status: int) -> None:
    fault = fault_of(status, "60", 0)
    assert isinstance(fault, ReceiverFault) and fault.fatal and fault.remedy


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, 150])
def test_what_passes_and_when(status: int) -> None:
    fault = fault_of(status, "Thu, 01 Jan 1970 00:02:00 GMT", 90)
    assert isinstance(fault, ReceiverFault) and not fault.fatal and fault.retry_after_seconds == 30
    unsaid = fault_of(status, "soon", 90)
    assert isinstance(unsaid, ReceiverFault) and unsaid.retry_after_seconds is None


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422, 451])
def test_what_is_refused_itself(status: int) -> None:
    assert isinstance(fault_of(status, "", 0), MessageFault)


def test_the_end() -> None:
    assert isinstance(fault_of(410, "", 0), ReceiverGone)


def test_the_library_signs_as_the_specification_has_it() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md."""
    signature = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        '{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_holds_whatever_a_caption_does() -> None:
    delivery = Delivery("webhook:0a", 5, 7, 1, "changed", 0, 0, None)
    message = message_of(delivery, "0b", {"caption": 'a "b" \u2028 \U0001f408 \ud83d', "phash": -(2**63)})
    assert message.id == "msg_0b_5"
    assert json.loads(message.body)["data"] == {"caption": 'a "b" \u2028 \U0001f408 ?', "phash": -(2**63)}


def options(*urls: str) -> dict[str, object]:
    return {"webhooks": [{"url": url, "secret": "", "events": ["deleted"], "kind": "rebuild"} for url in urls]}


def test_check_looks_for_the_host_and_sends_nothing() -> None:
    tried = Checklist()
    check(options("http://127.0.0.1:9/token", "http://nobody.invalid/token", "http://192.0.2.1/token"), tried)
    assert [(one.verdict, one.what.partition(": ")[0]) for one in tried.results] == [
        ("ok", "webhook 1 (http://127.0.0.1:9…)"),
        ("warning", "webhook 2 (http://nobody.invalid…)"),
        ("warning", "webhook 3 (http://192.0.2.1…)"),
    ]
    assert "in the clear" in tried.results[2].what and "nothing was sent" in tried.results[0].what
    assert not any("token" in one.what for one in tried.results)


def test_a_webhook_is_known_by_its_url() -> None:
    one, two = targets(options("https://a.org/x", "https://a.org/y"))
    assert one.name != two.name
    assert targets(options("https://a.org/y", "https://a.org/x"))[1].name == one.name
    assert one.name == "webhook:0971aaff5594bb24", "an upgrade would forget what it has still to be told"


@pytest.mark.parametrize(("kind", "work"), [("events", Events), ("rebuild", Rebuild)])
def test_each_kind_has_its_work(kind: str, work: type[Events | Rebuild], tmp_path: Path) -> None:
    hook = {"url": "https://a.org/x", "secret": "", "events": ["deleted"], "kind": kind}
    options = {
        **{"webhooks": [hook], "version": "1", "state_dir": str(tmp_path), "catalog": {"backend": "sqlite"}},
        **{"breaker": {"failures": 5, "timeout_seconds": 60.0}, "retry": {"max_attempts": 5, "base_seconds": 60.0}},
    }
    with closing(Journal.open(tmp_path / "journal.db")) as journal:
        (target,) = works.register(journal, options)
    made = works.make(target, options, tmp_path / "journal.db", lambda: False)
    assert isinstance(made, work) and made.step() == 0
    made.close()


def test_who_has_no_webhooks_imports_no_http_client() -> None:
    code = (
        "import sys, workers.uploader, workers.publishing.webhooks.check;"
        "print([name for name in ('httpx', 'standardwebhooks') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(HOME)}, check=True
    )
    assert answer.stdout.strip() == "[]"
