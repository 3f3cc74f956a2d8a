"""The operator's own commands in the settings: what they become, and what is refused in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from supervisor.settings import Settings, SettingsError, load
from supervisor.settings.commands import KEYS, CommandSettings
from supervisor.settings.render import render

VARIABLE = "PICTUREDESK__SUPERVISOR__COMMAND"


def read(folder: Path, text: str = "", **environ: str) -> Settings:
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "etc/config.toml").write_text(text, encoding="utf-8")
    return load(Path("etc/config.toml"), environ, folder, folder)


def faults(folder: Path, text: str = "", **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(folder, text, **environ)
    return [fault.removeprefix(f"{folder}/etc/config.toml: supervisor.command") for fault in caught.value.faults]


def table(**keys: object) -> str:
    """One [[supervisor.command]] that is good but for what is given."""
    good = {"name": "ingest", "command": "python ingest.py", **keys}
    lines = [f"{key} = {value if key == 'environment' else json.dumps(value)}" for key, value in good.items()]
    return "\n".join(["[[supervisor.command]]", *lines, ""])


def test_a_command_with_nothing_but_what_it_needs(tmp_path: Path) -> None:
    (one,) = read(tmp_path, table()).supervisor.commands()
    assert one == CommandSettings(name="ingest", command=("python", "ingest.py"), directory=tmp_path / "etc")
    assert (one.restart, one.stop_signal, one.stop_seconds, one.memory_cap_mb) == ("permanent", "SIGTERM", 10, 0)


def test_a_command_with_everything(tmp_path: Path) -> None:
    more = {"restart": "temporary", "stop_signal": "SIGINT", "stop_seconds": 3, "memory_cap_mb": 100}
    text = table(command=["a b", ""], directory="../src", environment='{ A = "1", b_2 = "x = y" }', **more)
    (one,) = read(tmp_path, text).supervisor.command
    assert one == CommandSettings(
        name="ingest",
        command=("a b", ""),
        directory=tmp_path / "src",
        environment=(("A", "1"), ("b_2", "x = y")),
        restart="temporary",
        stop_signal="SIGINT",
        stop_seconds=3.0,
        memory_cap_mb=100,
    )


def test_a_line_is_split_as_a_shell_would_and_nothing_else_is_done(tmp_path: Path) -> None:
    (one,) = read(tmp_path, table(command="""sh -c 'echo "$HOME" | cat' a\\ b *.py # c""")).supervisor.command
    assert one.command == ("sh", "-c", 'echo "$HOME" | cat', "a b", "*.py", "#", "c")


def test_worker_script(tmp_path: Path) -> None:
    settings = read(tmp_path, table(), WORKER_SCRIPT=" python ingest.py ")
    assert [one.name for one in settings.supervisor.commands()] == ["worker", "ingest"]
    worker = settings.supervisor.commands()[0]
    assert worker == CommandSettings(name="worker", command=("python", "ingest.py"), directory=Path())
    assert read(tmp_path, WORKER_SCRIPT="").supervisor.commands() == ()
    assert read(tmp_path, WORKER_SCRIPT="  ").supervisor.commands() == ()


def test_a_bad_worker_script(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, WORKER_SCRIPT="python 'ingest.py")
    assert fault.startswith("""WORKER_SCRIPT = "python 'ingest.py" is refused; allowed: split as a shell would""")
    assert fault.endswith("as a shell would say: no closing quotation")
    (fault,) = faults(tmp_path, table(name="worker"), WORKER_SCRIPT="python ingest.py")
    assert fault == (
        f"WORKER_SCRIPT makes a child 'worker', and {tmp_path}/etc/config.toml: supervisor.command"
        " has one of that name too"
    )


def test_the_environment_takes_the_place_of_the_file(tmp_path: Path) -> None:
    given = json.dumps([{"name": "b", "command": ["true"], "directory": "x"}, {"name": "c", "command": "true"}])
    b, c = read(tmp_path, table(), **{VARIABLE: given}).supervisor.commands()
    assert (b.name, b.directory) == ("b", tmp_path / "x"), "from the folder of the program"
    assert (c.name, c.directory) == ("c", tmp_path)
    assert read(tmp_path, table(), **{VARIABLE: "[]"}).supervisor.commands() == ()


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"name": "Ingest"}, '#1: name = "Ingest" is refused; allowed: up to 32 lower-case letters'),
        ({"name": "a" * 33}, "#1: name = "),
        ({"name": 7}, "#1: name = 7 is refused"),
        ({"name": "uploader"}, "'uploader': name = \"uploader\" is refused; allowed: up to 32"),
        ({"name": "image-12"}, "'image-12': name = \"image-12\" is refused"),
        ({"name": "root"}, "'root': name = \"root\" is refused"),
        ({"command": ""}, "'ingest': command = \"\" is refused; allowed: a line, split as a shell would"),
        ({"command": []}, "'ingest': command = [] is refused"),
        ({"command": ["", "x"]}, '\'ingest\': command = ["", "x"] is refused'),
        ({"command": ["a", 1]}, "'ingest': command = [\"a\", 1] is refused"),
        ({"command": "a \\"}, "'ingest': command = "),
        ({"command": "a\0b"}, "'ingest': command = "),
        ({"directory": ""}, "'ingest': directory = \"\" is refused; allowed: a path"),
        ({"restart": "always"}, '\'ingest\': restart = "always" is refused; allowed: "permanent" or'),
        ({"stop_signal": "TERM"}, '\'ingest\': stop_signal = "TERM" is refused; allowed: "SIGTERM" or'),
        ({"stop_seconds": 0}, "'ingest': stop_seconds = 0 is refused; allowed: a number, 0.05 to 3600"),
        ({"memory_cap_mb": -1}, "'ingest': memory_cap_mb = -1 is refused; allowed: a whole number"),
        ({"memory_cap_mb": 1.5}, "'ingest': memory_cap_mb = 1.5 is refused"),
        ({"enviroment": {}}, "'ingest': unknown key enviroment; did you mean environment?"),
        ({"zzz": 1}, "'ingest': unknown key zzz; known here: name, command, directory"),
        ({"environment": "5"}, "'ingest': environment = (hidden) is refused; allowed: a table of texts"),
        ({"environment": '{ "A-B" = "s3cret" }'}, "'ingest': environment.A-B is refused; allowed: names of letters"),
        ({"environment": "{ A = 5 }"}, "'ingest': environment.A = (hidden) is refused; allowed: a text"),
    ],
)
def test_what_is_refused(keys: dict[str, object], fault: str, tmp_path: Path) -> None:
    text = table(**keys) if "enviroment" not in keys else table().replace("\n", "\nenviroment = {}\n", 1)
    (found,) = faults(tmp_path, text)
    assert found.startswith(f" {fault}")
    assert "s3cret" not in found


def test_all_faults_of_all_commands_at_once(tmp_path: Path) -> None:
    text = table(restart="x", stop_signal="y") + '[[supervisor.command]]\nrestart = "z"\n' + table() + table(name="a")
    assert [
        fault.partition(" = ")[0].partition(" is")[0] for fault in faults(tmp_path, text + "[health]\nport = -1")
    ] == [
        " 'ingest': restart",
        " 'ingest': stop_signal",
        " #2: restart",
        " #2: name",
        " #2: command",
        ": 2 commands are named 'ingest': each needs a name of its own",
        f"{tmp_path}/etc/config.toml: health.port",
    ]


@pytest.mark.parametrize("text", ["[supervisor.command]\nname = 'a'", "[supervisor]\ncommand = ['s3cret']"])
def test_no_list_of_tables(text: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, text)
    assert "a list of tables" in fault and "s3cret" not in fault


@pytest.mark.parametrize("text", ["s3cret", '[{"name": "s3cret', '{"s3cret": 1}', "3", "[" * 100_000])
def test_no_list_of_tables_in_the_environment(text: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, **{VARIABLE: text})
    assert fault.startswith(VARIABLE) and "list of tables" in fault and "s3cret" not in fault


def test_what_is_in_the_environment_of_a_command_is_never_shown(tmp_path: Path) -> None:
    settings = read(tmp_path, table(environment='{ TOKEN = "s3cret" }'))
    assert settings.public()["supervisor.command"] == [
        {
            "name": "ingest",
            "command": ["python", "ingest.py"],
            "directory": str(tmp_path / "etc"),
            "environment": {"TOKEN": "(set)"},
            "restart": "permanent",
            "stop_signal": "SIGTERM",
            "stop_seconds": 10,
            "memory_cap_mb": 0,
        }
    ]
    assert "s3cret" not in repr(settings) + repr(settings.supervisor.command)


def test_the_example_in_the_rendered_configuration_holds(tmp_path: Path) -> None:
    _, _, rest = render().partition("# [[supervisor.command]]\n")
    lines = [line.removeprefix("# ") for line in rest.partition("\n\n")[0].splitlines()]
    (one,) = read(tmp_path, "\n".join(["[[supervisor.command]]", *lines])).supervisor.command
    assert one.name == "ingest" and one.environment == (("LOG_LEVEL", "info"),)
    assert [line.partition(" = ")[0] for line in lines if not line.startswith("#")] == list(KEYS)
