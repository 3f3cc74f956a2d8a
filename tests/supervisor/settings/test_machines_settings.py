"""The settings of many machines: what a role needs, and what one word says of others."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from supervisor import child_options, tree
from supervisor.settings import Settings, SettingsError, join, load
from supervisor.settings.render import render

R2 = {
    "PICTUREDESK__STORAGE__BACKEND": "r2",
    "PICTUREDESK__STORAGE__ENDPOINT": "https://acc.example.org",
    "PICTUREDESK__STORAGE__BUCKET": "pictures",
    "PICTUREDESK__STORAGE__ACCESS_KEY_ID": "id",
    "PICTUREDESK__STORAGE__SECRET_ACCESS_KEY": "key",
}
SUPABASE = {
    "PICTUREDESK__CATALOG__BACKEND": "supabase",
    "PICTUREDESK__CATALOG__URL": "https://x.example.org",
    "PICTUREDESK__CATALOG__KEY": "key",
}
SERVICES = {**R2, **SUPABASE}
JOIN = "PICTUREDESK__MACHINES__JOIN"
ROLE = "PICTUREDESK__MACHINES__ROLE"
SAID = {
    **{"catalog.url": "https://x.example.org", "storage.endpoint": "https://acc.example.org"},
    **{"storage.bucket": "pictures", "storage.access_key_id": "id", "storage.secret_access_key": "a-secret"},
}
NODE = {ROLE: "node", "PICTUREDESK__CATALOG__KEY": "its-own", JOIN: join.packed(SAID)}


def loaded(tmp_path: Path, environ: dict[str, str], text: str = "") -> Settings:
    (tmp_path / "config.toml").write_text(text)
    return load(None, environ, tmp_path, tmp_path)


def faults(tmp_path: Path, environ: dict[str, str], text: str = "") -> list[str]:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, environ, text)
    return list(refused.value.faults)


def word(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_three_settings_make_a_node(tmp_path: Path) -> None:
    node = loaded(tmp_path, NODE)
    assert (node.storage.backend, node.storage.bucket, node.storage.secret_access_key) == ("r2", "pictures", "a-secret")
    assert (node.catalog.backend, node.catalog.url, node.catalog.key) == (
        "supabase",
        "https://x.example.org",
        "its-own",
    )


def test_they_do_with_the_file_as_it_comes(tmp_path: Path) -> None:
    """It names every setting: a clone, an image and an installation have it."""
    node = loaded(tmp_path, NODE, render())
    assert node == loaded(tmp_path, NODE)
    assert (node.storage.backend, node.catalog.backend, node.storage.bucket) == ("r2", "supabase", "pictures")


def test_what_is_set_by_itself_outranks_the_word(tmp_path: Path) -> None:
    environ = {**NODE, "PICTUREDESK__CATALOG__URL": "https://env.example.org"}
    node = loaded(tmp_path, environ, '[storage]\nendpoint = "https://file.example.org"')
    assert (node.catalog.url, node.storage.endpoint) == ("https://env.example.org", "https://file.example.org")
    assert node.storage.bucket == "pictures"


def test_the_word_may_stand_in_a_file_or_a_credential(tmp_path: Path) -> None:
    environ = {name: value for name, value in NODE.items() if name != JOIN}
    assert loaded(tmp_path, environ, f'[machines]\njoin = "{NODE[JOIN]}"').storage.bucket == "pictures"
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "machines.join").write_text(NODE[JOIN] + "\n")
    assert loaded(tmp_path, {**environ, "CREDENTIALS_DIRECTORY": str(folder)}).storage.bucket == "pictures"


def test_a_later_version_may_say_more(tmp_path: Path) -> None:
    said = word({"v": 1, **SAID, "storage.colour": "blue"})
    assert loaded(tmp_path, {**NODE, JOIN: said}).storage.bucket == "pictures"


@pytest.mark.parametrize(
    "bad",
    [
        *("not a word", "e30", NODE[JOIN][:-9], f"{JOIN}={NODE[JOIN]}"),
        *(word([1]), word({**SAID, "v": 2}), word({**SAID, "v": 1, "storage.bucket": 7})),
    ],
)
def test_a_bad_word_is_refused_without_showing_it(tmp_path: Path, bad: str) -> None:
    (fault, *others) = [one for one in faults(tmp_path, {**NODE, JOIN: bad}) if JOIN in one]
    assert fault == (
        f'{JOIN} = (hidden) is refused; allowed: what bin/run nodes --join prints at the origin after its "=", or empty'
    )
    assert not others


def test_a_bad_value_in_the_word_is_refused_where_it_stands(tmp_path: Path) -> None:
    said = word({"v": 1, **SAID, "storage.bucket": "NO", "storage.secret_access_key": "with a blank"})
    found = faults(tmp_path, {**NODE, JOIN: said})
    assert f'{JOIN}: storage.bucket = "NO" is refused; allowed: a bucket\'s name, or empty' in found
    assert any(one.startswith(f"{JOIN}: storage.secret_access_key = (hidden)") for one in found)
    assert not any("with a blank" in one for one in found)


@pytest.mark.parametrize("role", ["origin", "node"])
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, 'storage.backend = "r2" and catalog.backend = "supabase"'),
        (R2, 'catalog.backend = "supabase"'),
        (SUPABASE, 'storage.backend = "r2"'),
    ],
)
def test_a_role_needs_both_services(tmp_path: Path, role: str, given: dict[str, str], missing: str) -> None:
    (fault,) = faults(tmp_path, {ROLE: role, **given})
    assert fault.startswith(f'{ROLE} = "{role}" needs {missing} as well')
    assert ("bin/run nodes --join" in fault) is (role == "node")


@pytest.mark.parametrize("role", ["all", "origin"])
def test_the_word_is_for_a_node(tmp_path: Path, role: str) -> None:
    found = faults(tmp_path, {**SERVICES, ROLE: role, JOIN: NODE[JOIN]})
    assert [one.partition(":")[0] for one in found] == [f'{JOIN} is set, but machines.role is "{role}"']


def test_a_node_passes_an_account_over(tmp_path: Path) -> None:
    """Half an account, and one without channels, are faults elsewhere."""
    node = loaded(tmp_path, {**NODE, "PICTUREDESK__TELEGRAM__API_ID": "5"})
    assert tree.faults(node) == [] and child_options.connection_options(node)["telegram"] is None
    with pytest.raises(SettingsError):
        loaded(tmp_path, {"PICTUREDESK__TELEGRAM__API_ID": "5"})


@pytest.mark.parametrize(("given", "above"), [("auto", 6), ("0", 0), ("40", 40)])
def test_what_is_kept_for_the_own_workers(tmp_path: Path, given: str, above: int) -> None:
    more = {"PICTUREDESK__POOL__WORKERS": "3", "PICTUREDESK__MACHINES__HAND_OVER_ABOVE": given}
    origin = loaded(tmp_path, {**SERVICES, ROLE: "origin", **more})
    options = child_options.uploader_options(origin)
    assert (options["machines"]["hand_over_above"], options["machines"]["workers"]) == (above, 3)
    assert options["machines"]["wire_bucket"] == "pictures" and options["machines"]["name"]
    assert options["images"].items() <= tree.image_worker(origin).options.items()


def test_a_machine_alone_knows_of_no_others(tmp_path: Path) -> None:
    alone = loaded(tmp_path, SERVICES)
    told = (child_options.uploader_options(alone), child_options.connection_options(alone))
    assert [one["machines"] for one in told] == [{"role": "all"}] * 2
    assert not {"storage", "catalog"} & child_options.connection_options(alone).keys()


def test_a_node_writes_pictures_and_rows_and_nothing_else(tmp_path: Path) -> None:
    more = (
        '[feeds]\nenabled = true\n[site]\nenabled = true\n[[webhook]]\nurl = "https://h.example.org"\nkind = "rebuild"'
    )
    node = loaded(tmp_path, NODE, more)
    options = child_options.uploader_options(node)
    assert (options["webhooks"], options["feeds"]["enabled"], options["site"]["enabled"]) == ([], False, False)
    assert child_options.gallery(node) == ""
    assert child_options.connection_options(node)["storage"]["bucket"] == "pictures"
