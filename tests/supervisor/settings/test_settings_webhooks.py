"""[[webhook]] in the settings: what the tables become, and what is refused in which words."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from supervisor import tree
from supervisor.settings import Settings, SettingsError, load
from supervisor.settings.render import render
from supervisor.settings.webhooks import EVENTS, KEY_FORM, KEYS, MOST, WebhookSettings
from supervisor.start import Start

VARIABLE = "PICTUREDESK__WEBHOOK"
URL = "https://example.org/hooks/a-token?key=hidden"


def key(length: int = 24) -> str:
    return f"whsec_{base64.b64encode(bytes(range(length))).decode()}"


def read(folder: Path, text: str = "", **environ: str) -> Settings:
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return load(Path("config.toml"), environ, folder, folder)


def faults(folder: Path, text: str = "", **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(folder, text, **environ)
    assert not any(secret in str(caught.value) for secret in ("a-token", "hidden=", "whsec_AAEC"))
    return [fault.removeprefix(f"{folder}/config.toml: ") for fault in caught.value.faults]


def table(**keys: Any) -> str:
    """One [[webhook]] that is good but for what is given; None leaves a key out."""
    good = {"url": URL, "secret": key(), **keys}
    lines = [f"{name} = {json.dumps(value)}" for name, value in good.items() if value is not None]
    return "\n".join(["[[webhook]]", *lines, ""])


def test_a_webhook_with_what_it_needs(tmp_path: Path) -> None:
    (one,) = read(tmp_path, table()).webhook
    assert one == WebhookSettings(url=URL, secret=key(), events=EVENTS, kind="events")


def test_a_webhook_with_everything_beside_a_deploy_hook(tmp_path: Path) -> None:
    other = {"url": "http://[::1]:8080?x", "secret": None, "kind": "rebuild"}
    text = table(events=["deleted", "published", "deleted"]) + table(**other)
    one, two = read(tmp_path, text + "[storage]\nbackend = 'files'\n").webhook
    assert one.events == ("published", "deleted")
    assert (two.url, two.secret, two.kind, two.events) == ("http://[::1]:8080?x", "", "rebuild", EVENTS)


def test_the_environment_has_them_as_json_and_is_stronger(tmp_path: Path) -> None:
    given = json.dumps([{"url": URL, "secret": key(64)}])
    (one,) = read(tmp_path, table() + table(url="https://b.org"), **{VARIABLE: given}).webhook
    assert one.secret == key(64)
    assert read(tmp_path, table(), **{VARIABLE: "[]"}).webhook == ()


def test_a_credential_has_them_too(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "picturedesk_webhook").write_text(json.dumps([{"url": URL, "secret": key()}]))
    assert read(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path / "secrets")).webhook[0].url == URL


URL_FAULT = "webhook #1: url = (hidden) is refused; allowed: an http or https address without user and password"
SECRET_FAULT = f"webhook #1: secret = (hidden) is refused; allowed: {KEY_FORM}"


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"url": None}, "webhook #1: url is missing; allowed: an http or https address without user and password"),
        *(
            (
                {"url": url},
                "webhook #1: url = (hidden) is refused; allowed: an http or https address without user and password",
            )
            for url in ("", "ftp://a.org", "https://me:a-token@a.org/", "https://a b.org", "https://", "//a.org", 7)
        ),
        ({"secret": None}, f"webhook #1: secret is missing; allowed: {KEY_FORM}"),
        ({"secret": ""}, f"webhook #1: secret is missing; allowed: {KEY_FORM}"),
        *(
            ({"secret": secret}, SECRET_FAULT)
            for secret in (key(23), key(65), key().removeprefix("whsec_"), key()[:-1] + "!", "whsec_", key()[:-1])
        ),
        (
            {"kind": "rebuild"},
            "webhook #1: secret is set, but a rebuild is a bare POST, which is not signed: leave it out",
        ),
        (
            {"kind": "rebuilt"},
            'webhook #1: kind = "rebuilt" is refused; allowed: "events" or "rebuild"; did you mean "rebuild"?',
        ),
        *(
            (
                {"events": events},
                f"webhook #1: events = {json.dumps(events)} is refused; allowed: a list, each of it"
                f' "published", "changed" or "deleted"{hint}',
            )
            for events, hint in (
                ([], ""),
                ("published", ""),
                ([1], ""),
                (["deleted", 1], ""),
                (["delete"], '; did you mean "deleted"?'),
            )
        ),
        ({"event": ["deleted"]}, "webhook #1: unknown key event; did you mean events?"),
    ],
)
def test_what_is_refused(tmp_path: Path, keys: dict[str, Any], fault: str) -> None:
    assert faults(tmp_path, table(**keys)) == [fault]


def test_all_faults_of_all_tables_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, table(kind="x") + table() + table(url=URL, events=[]))
    assert [fault.partition(":")[0] for fault in found] == ["webhook #1", "webhook #3", "webhook #2", "webhook #3"]
    assert found[-1] == "webhook #3: another one has the same url: put all events into one table"
    many = "".join(table(url=f"https://a.org/{number}") for number in range(MOST + 1))
    assert faults(tmp_path, many) == [f"webhook has {MOST + 1} tables; allowed: at most {MOST}"]


def test_one_bracket_and_no_tables(tmp_path: Path) -> None:
    assert faults(tmp_path, table().replace("[[webhook]]", "[webhook]")) == [
        "webhook is a list of tables: write [[webhook]], with two brackets"
    ]
    assert faults(tmp_path, "webhook = 'https://a.org'") == [
        "webhook = (hidden) is refused; allowed: a list of tables, each with url and secret"
    ]
    assert faults(tmp_path, **{VARIABLE: "{"}) == [f"{VARIABLE} = (hidden) is refused; allowed: a list of tables"]


def test_no_secret_is_shown(tmp_path: Path) -> None:
    settings = read(tmp_path, table())
    shown = repr(settings) + json.dumps(settings.public())
    assert not any(secret in shown for secret in ("a-token", "hidden", key()))
    assert settings.public()["webhook"] == [
        {"url": "(set)", "secret": "(set)", "events": list(EVENTS), "kind": "events"}
    ]


def test_the_uploader_alone_is_told(tmp_path: Path) -> None:
    settings = read(tmp_path, table())
    children = tree.children(settings, 0, Start.now())
    assert [child.name for child in children if "a-token" in repr(child.options)] == ["uploader"]


def test_the_example_can_be_uncommented(tmp_path: Path) -> None:
    lines = render().split("# [[webhook]]\n")[1].splitlines()
    example = "\n".join(["[[webhook]]", *(line.removeprefix("# ") for line in lines)])
    (one,) = read(tmp_path, render() + example).webhook
    assert one.url == KEYS["url"].rule.example and one.events == EVENTS
    assert [line.partition(" = ")[0] for line in example.splitlines()[1:] if not line.startswith("#")] == list(KEYS)
