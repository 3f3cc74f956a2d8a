"""[[telegram.rules]] in the settings: what they become, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipc.editing import Editing
from ipc.rules import PostRule
from supervisor import child_options
from supervisor.settings import Settings, SettingsError, load
from supervisor.settings.post_rules import KEYS
from supervisor.settings.render import render


def read(folder: Path, text: str = "", **environ: str) -> Settings:
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return load(Path("config.toml"), environ, folder, folder)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(folder, f"[[telegram.rules]]\n{text}")
    return [fault.removeprefix(f"{folder}/config.toml: telegram.rules #1: ") for fault in caught.value.faults]


def test_without_any_nothing_is_left_and_captions_say_nothing(tmp_path: Path) -> None:
    assert Editing.from_options(child_options.editing_options(read(tmp_path))) == Editing()


def test_what_they_become_for_the_connection(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        """
        [telegram]
        editor_commands = true
        [[telegram.rules]]
        action = "take"
        channel = "https://t.me/News"
        tags = ["#Print", "öl", "print"]
        kind = "photo"
        min_width = 1000
        max_bytes = 5000
        [[telegram.rules]]
        action = "leave"
        since = 2026-11-29
        until = "2026-11-30"
        """,
    )
    assert Editing.from_options(child_options.editing_options(settings)) == Editing(
        True,
        (
            PostRule("take", "name:news", ("print", "öl"), "photo", min_width=1000, max_bytes=5000),
            PostRule("leave", since=1_795_910_400, until=1_796_083_199),
        ),
    )
    assert settings.public()["telegram.rules"][0]["tags"] == ["print", "öl"]


def test_bounds_may_be_one_number_and_what_is_empty_is_no_condition(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        """
        [[telegram.rules]]
        action = "leave"
        channel = ""
        kind = ""
        tags = []
        since = ""
        min_width = 300
        max_width = 300
        """,
    )
    rules = Editing.from_options(child_options.editing_options(settings)).rules
    assert rules == (PostRule("leave", min_width=300, max_width=300),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tags = []", 'action is missing; allowed: "take" or "leave"'),
        ('action = "drop"', 'action = "drop" is refused; allowed: "take" or "leave"'),
        ('action = "take"\ntag = ["a"]', "unknown key tag; did you mean tags?"),
        ('action = "take"\ntags = "a"', 'tags = "a" is refused; allowed: a list of hashtags'),
        (
            'action = "take"\ntags = ["a b"]',
            'tags = ["a b"] is refused; allowed: a list of hashtags; a hashtag has letters, digits and underscores',
        ),
        (
            'action = "take"\nmin_width = -1',
            "min_width = -1 is refused; allowed: a whole number, 0 to 2147483648",
        ),
        ('action = "take"\nsince = "2026-13-01"', "there is no such day"),
        ('action = "take"\nuntil = 2026-11-30T10:00:00', "allowed: a day, as 2026-11-30"),
        (
            'action = "take"\nmin_bytes = 9\nmax_bytes = 8',
            "min_bytes = 9 is refused; allowed: at most max_bytes = 8",
        ),
        ('action = "take"\nchannel = "a b"', 'channel = "a b" is refused; allowed: "@name", a t.me link'),
        ('action = "take"\nkind = "gif"', 'kind = "gif" is refused; allowed: "" or "photo" or "video"'),
    ],
)
def test_what_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, text)
    assert expected in fault


def test_all_faults_are_told_at_once_and_one_bracket_is_too_few(tmp_path: Path) -> None:
    assert len(faults(tmp_path, 'action = "x"\nkind = "y"\nother = 1')) == 3
    with pytest.raises(SettingsError, match=r"write \[\[telegram.rules\]\], with two brackets"):
        read(tmp_path, '[telegram.rules]\naction = "take"')


def test_the_environment_has_them_as_json(tmp_path: Path) -> None:
    settings = read(tmp_path, PICTUREDESK__TELEGRAM__RULES='[{"action": "leave", "max_width": 100}]')
    assert settings.telegram.rules[0].max_width == 100


def test_the_example_in_the_rendered_configuration_holds_and_nothing_stands_below_it(tmp_path: Path) -> None:
    _, _, rest = render().partition("# [[telegram.rules]]\n")
    lines = [line.removeprefix("# ") for line in rest.partition("\n\n")[0].splitlines()]
    (one,) = read(tmp_path, "\n".join(["[[telegram.rules]]", *lines])).telegram.rules
    assert (one.action, one.tags) == ("leave", ("draft",))
    assert [line.partition(" = ")[0] for line in lines if not line.startswith("#")] == list(KEYS)
