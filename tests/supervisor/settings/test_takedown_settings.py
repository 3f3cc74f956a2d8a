"""The settings of takedown: a number or a word, and a zone that needs its token and an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.settings import SettingsError, load

ZONE = "0123456789abcdef0123456789abcdef"


def loaded(folder: Path, lines: str, **environ: str) -> object:
    config = folder / "config.toml"
    config.write_text(f"[storage]\n{lines}\n")
    return load(config, environ, folder, folder).storage.takedown_after_seconds


@pytest.mark.parametrize(("given", "value"), [("", "auto"), ('"auto"', "auto"), ("-1", -1.0), ("0", 0.0), ("1.5", 1.5)])
def test_a_number_or_a_word(tmp_path: Path, given: str, value: object) -> None:
    assert loaded(tmp_path, f"takedown_after_seconds = {given}" if given else "") == value
    if given:
        variable = {"PICTUREDESK__STORAGE__TAKEDOWN_AFTER_SECONDS": given.strip('"')}
        assert loaded(tmp_path, "", **variable) == value


@pytest.mark.parametrize("given", ['"soon"', "-2", "true", '"60"', "1e9"])
def test_others_are_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(SettingsError, match='allowed: "auto" or a number, -1 to 2592000'):
        loaded(tmp_path, f"takedown_after_seconds = {given}")


def test_a_zone_needs_its_token_and_an_address(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"needs storage\.cloudflare_token and storage\.public_url as well"):
        loaded(tmp_path, f'cloudflare_zone = "{ZONE}"')
    with pytest.raises(SettingsError, match="is not set: set both, or neither") as raised:
        loaded(tmp_path, 'cloudflare_token = "a-secret"')
    assert "a-secret" not in str(raised.value)
    whole = f'cloudflare_zone = "{ZONE}"\ncloudflare_token = "x"\npublic_url = "https://a.org"'
    assert loaded(tmp_path, whole) == "auto"
