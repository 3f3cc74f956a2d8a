"""supervisor.settings: where each value comes from, and what is refused in which words."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.settings import Settings, SettingsError, load
from supervisor.settings.render import render
from supervisor.settings.rules import SettingEntry
from supervisor.settings.table import TABLE, lookup

CHECKOUT = Path(__file__).parents[3]
PLAIN_NAMES = [entry for entry in TABLE if entry.rule.environ]


class Desk:
    """A current folder and a checkout for `load`, both empty."""

    def __init__(self, tmp_path: Path) -> None:
        self.cwd, self.home = tmp_path / "cwd", tmp_path / "home"
        self.config: Path | None = None  # what --config says
        self.cwd.mkdir()
        self.home.mkdir()

    def file(self, text: str) -> Path:
        path = self.cwd / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, text: str | None = None, **environ: str) -> Settings:
        if text is not None:
            self.file(text)
        return load(self.config, environ, self.cwd, self.home)

    def faults(self, text: str | None = None, **environ: str) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            self.load(text, **environ)
        assert str(caught.value).splitlines() == list(caught.value.faults)
        return list(caught.value.faults)

    def fault(self, text: str | None = None, **environ: str) -> str:
        (only,) = self.faults(text, **environ)
        return only


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def named(name: str) -> SettingEntry:
    return next(entry for entry in TABLE if entry.name == name)


# --- the table ----------------------------------------------------------------------------------------------


def test_the_committed_config_is_the_table_rendered() -> None:
    assert (CHECKOUT / "config.toml").read_text(encoding="utf-8") == render()


def test_the_rendered_config_is_the_defaults(desk: Desk) -> None:
    (desk.home / "config.toml").write_text(render(), encoding="utf-8")
    expected = Settings(state_dir=desk.home / "var").public() | {"export.path": str(desk.home / "examples/export")}
    assert desk.load().public() == expected
    assert desk.load().config_file == desk.home / "config.toml"


def test_every_setting_is_rendered_after_a_line_that_explains_it() -> None:
    lines = render().splitlines()
    for entry in TABLE:
        assert entry.rule.why
        if entry.is_tables:
            continue  # shown as an example, see test_settings_commands.py
        before = lines[next(i for i, line in enumerate(lines) if line.startswith(f"{entry.key} = ")) - 1]
        assert before.startswith("# ")
        assert f"# {entry.rule.why} (" in render()


def test_the_documented_defaults() -> None:
    assert Settings().public() == {
        "state_dir": "var",
        "webhook": [],
        "telegram.api_id": 0,
        "telegram.api_hash": "",
        "telegram.session": "(set)",
        "telegram.channels": [],
        "telegram.backfill_on_start": False,
        "telegram.backfill_limit": 0,
        "telegram.heartbeat_seconds": 60,
        "telegram.max_restarts": 10,
        "telegram.reconnect_delay_seconds": 5,
        "telegram.monitor_seconds": 30,
        "telegram.reconcile_messages": 200,
        "telegram.reconcile_seconds": 300,
        "telegram.downloads": 8,
        "telegram.web_previews": False,
        "telegram.editor_commands": False,
        "telegram.rules": [],
        "telegram.video_posters": False,
        "telegram.server": "",
        "telegram.public_key": "",
        "telegram.proxy": "",
        "export.path": "examples/export",
        "images.widths": [320, 640, 1280, 1920],
        "images.webp": True,
        "images.avif": True,
        "images.jpeg_width": 1280,
        "images.preview": True,
        "images.animations": True,
        "images.preset": "balanced",
        "images.max_bytes": 52_428_800,
        "images.max_dimension": 8192,
        "images.max_pixels": 50_331_648,
        "pool.workers": 0,
        "pool.memory_soft_mb": 256,
        "pool.memory_cap_mb": 1200,
        "pool.job_seconds": 60,
        "pool.gc_every": 10,
        "pool.poison_after": 2,
        "pool.sandbox": "auto",
        "spool.max_mb": 2048,
        "spool.min_free_mb": 200,
        "storage.backend": "files",
        "storage.endpoint": "",
        "storage.bucket": "",
        "storage.access_key_id": "",
        "storage.secret_access_key": "",
        "storage.concurrency": 8,
        "storage.answer_seconds": 30.0,
        "catalog.answer_seconds": 10.0,
        "storage.public_url": "",
        "storage.originals": "stripped",
        "storage.prefix": "",
        "storage.takedown_after_seconds": "auto",
        "storage.cloudflare_zone": "",
        "storage.cloudflare_token": "",
        "storage.cloudflare_api": "",
        "catalog.backend": "sqlite",
        "catalog.url": "",
        "catalog.key": "",
        "retry.max_attempts": 5,
        "retry.base_seconds": 60,
        "breaker.failures": 5,
        "breaker.timeout_seconds": 60,
        "supervisor.max_restarts": 100,
        "supervisor.window_seconds": 3600,
        "supervisor.restart_delay_seconds": 10,
        "supervisor.drain_seconds": 30,
        "supervisor.memory_floor_mb": 150,
        "supervisor.memory_pressure_percent": 20,
        "supervisor.worker_script": "",
        "supervisor.command": [],
        "health.host": "127.0.0.1",
        "health.port": 8080,
        "health.token": "",
        "health.show_captions": False,
        "health.allowed_hosts": [],
        "notify.urls": "",
        "notify.after_seconds": 120,
        "notify.heartbeat_url": "",
        "notify.name": "",
        "feeds.enabled": "auto",
        "feeds.items": 50,
        "feeds.title": "Pictures",
        "feeds.home_page_url": "",
        "site.enabled": "auto",
        "site.title": "",
        "machines.role": "all",
        "machines.hand_over_above": "auto",
        "machines.wire_bucket": "",
        "machines.name": "",
        "machines.lease_seconds": 120,
        "machines.reconcile_seconds": 300,
        "machines.target_seconds": 60,
        "machines.join": "",
        "log.level": "info",
        "log.format": "auto",
    }


def test_the_plain_names_are_those_documented() -> None:
    assert {entry.rule.environ: entry.name for entry in PLAIN_NAMES} == {
        "HEARTBEAT_SECS": "telegram.heartbeat_seconds",
        "MAX_RESTARTS": "telegram.max_restarts",
        "BACKFILL_ON_START": "telegram.backfill_on_start",
        "BACKFILL_LIMIT": "telegram.backfill_limit",
        "MAX_MESSAGE_RETRIES": "retry.max_attempts",
        "RETRY_DELAY_BASE_SECS": "retry.base_seconds",
        "MAX_IMAGE_SIZE_BYTES": "images.max_bytes",
        "MAX_IMAGE_DIMENSION": "images.max_dimension",
        "ENABLE_WEBP": "images.webp",
        "ENABLE_AVIF": "images.avif",
        "IMAGE_SIZES": "images.widths",
        "SUPERVISOR_MAX_RESTARTS": "supervisor.max_restarts",
        "SUPERVISOR_RESTART_DELAY": "supervisor.restart_delay_seconds",
        "WORKER_SCRIPT": "supervisor.worker_script",
        "PORT": "health.port",
    }


def test_settings_can_not_be_changed() -> None:
    settings = Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.health.port = 1  # type: ignore[misc]


# --- precedence ---------------------------------------------------------------------------------------------

TYPED: dict[type, tuple[str, str, str]] = {  # values in the file, a plain name, a variable
    bool: ("false", "1", "off"),
    int: ("1024", "2048", "4096"),
    float: ("11.5", "12.5", "13.5"),
    str: ('"python a.py"', "python b.py", "python c.py"),
    tuple: ("[111]", "222,333", "[444]"),
}


def as_value(entry: SettingEntry, text: str) -> Any:
    if entry.kind is bool:
        return text in ("true", "1")
    if entry.kind is str:
        return text.strip('"')
    return tuple(json.loads(f"[{text.strip('[]')}]")) if entry.is_widths else json.loads(text)


@pytest.mark.parametrize("entry", PLAIN_NAMES, ids=lambda entry: str(entry.rule.environ))
def test_variable_beats_plain_name_beats_file_beats_default(desk: Desk, entry: SettingEntry) -> None:
    in_file, plain, variable = TYPED[tuple if entry.is_widths else entry.kind]
    if entry.rule.high <= 1000:
        in_file, plain, variable = "1", "2", "3"
    text = f"[{entry.section}]\n{entry.key} = {in_file}\n"
    by_plain, by_variable = {entry.rule.environ: plain}, {entry.variable: variable}
    if not entry.is_widths and entry.kind is not bool:
        assert lookup(desk.load(), entry) == entry.default
    assert lookup(desk.load(text), entry) == as_value(entry, in_file)
    assert lookup(desk.load(text, **by_plain), entry) == as_value(entry, plain)
    assert lookup(desk.load(text, **by_variable), entry) == as_value(entry, variable)
    assert lookup(desk.load(text, **by_plain, **by_variable), entry) == as_value(entry, variable)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: str(entry.name))
def test_every_setting_has_its_variable(desk: Desk, entry: SettingEntry) -> None:
    text = json.dumps(list(entry.default)) if isinstance(entry.default, tuple) else str(entry.default)
    loaded = lookup(desk.load(**{entry.variable: text}), entry)
    assert loaded == (desk.cwd / entry.default if entry.kind is Path else entry.default)
    assert type(loaded) is type(entry.default)


@pytest.mark.parametrize("word", ["1", "true", "yes", "on", "TRUE", " On "])
def test_words_for_true(desk: Desk, word: str) -> None:
    assert desk.load("[images]\nwebp = false", ENABLE_WEBP=word).images.webp is True


@pytest.mark.parametrize("word", ["0", "false", "no", "off", "No"])
def test_words_for_false(desk: Desk, word: str) -> None:
    assert desk.load(ENABLE_AVIF=word).images.avif is False


def test_a_plain_name_that_is_empty_is_unset_a_variable_is_not(desk: Desk) -> None:
    assert desk.load(PORT="").health.port == 8080
    assert desk.load('[health]\ntoken = "abc"', PICTUREDESK__HEALTH__TOKEN="").health.token == ""
    assert "PICTUREDESK__HEALTH__PORT" in desk.fault("", PICTUREDESK__HEALTH__PORT="")


def test_names_of_others_are_not_read(desk: Desk) -> None:
    others = {"WORKER_SCRIPTS": "x", "HOME": "/root", "": "x"}
    assert desk.load(**others, PICTUREDESK_FAILPOINT="seen:2") == desk.load()


# --- which file, and paths ----------------------------------------------------------------------------------


def write(path: Path, port: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"[health]\nport = {port}\n", encoding="utf-8")
    return path


def test_which_file_is_read(desk: Desk) -> None:
    assert desk.load().config_file is None
    write(desk.home / "config.toml", 1)
    assert desk.load().health.port == 1
    write(desk.cwd / "config.toml", 2)
    assert desk.load().health.port == 2
    write(desk.cwd / "named/three.toml", 3)
    assert desk.load(PICTUREDESK_CONFIG="named/three.toml").health.port == 3
    assert desk.load(PICTUREDESK_CONFIG="").health.port == 2
    desk.config = Path("named/four.toml")
    four = write(desk.cwd / desk.config, 4)
    assert desk.load(PICTUREDESK_CONFIG="named/three.toml").health.port == 4
    assert desk.load().config_file == four


def test_relative_paths_begin_where_they_were_written(desk: Desk) -> None:
    folder = desk.cwd / "etc"
    folder.mkdir()
    file = desk.config = folder / "pd.toml"
    file.write_text('state_dir = "../state"\n[export]\npath = "/srv/export/"\n', encoding="utf-8")
    settings = desk.load()
    assert settings.state_dir == desk.cwd / "state"
    assert settings.export.path == Path("/srv/export")
    assert desk.load(PICTUREDESK__STATE_DIR="here").state_dir == desk.cwd / "here"
    file.write_text("", encoding="utf-8")
    settings = desk.load()
    assert (settings.state_dir, settings.export.path) == (desk.home / "var", desk.home / "examples/export")


@pytest.mark.parametrize("named", [True, False])
def test_a_named_file_that_is_not_there(desk: Desk, named: bool) -> None:
    missing = desk.cwd / "missing.toml"
    desk.config = missing if named else None
    fault = desk.fault() if named else desk.fault(PICTUREDESK_CONFIG="missing.toml")
    assert fault.startswith(f"{missing}: can't be read: No such file or directory")


def test_a_folder_is_no_file(desk: Desk) -> None:
    desk.config = desk.cwd
    assert "can't be read: Is a directory" in desk.fault()


def test_a_syntax_error_is_located_and_the_environment_is_checked_all_the_same(desk: Desk) -> None:
    faults = desk.faults("[images]\nwidths = [320,, 640]\n", PORT="http")
    assert faults[0].startswith(f"{desk.cwd / 'config.toml'}:2:15: ")
    assert faults[1].startswith('PORT = "http" is refused')
    assert desk.fault("[images").startswith(f"{desk.cwd / 'config.toml'}: ")


def test_text_that_is_not_utf8_and_text_with_a_byte_order_mark(desk: Desk) -> None:
    path = desk.cwd / "config.toml"
    path.write_bytes(b'state_dir = "\xff"')
    assert desk.fault() == f"{path}: is not UTF-8 text, at byte 13"
    path.write_bytes(b'\xef\xbb\xbfstate_dir = "x"')
    assert desk.load().state_dir == desk.cwd / "x"


def test_a_number_beyond_all_limits(desk: Desk) -> None:
    assert "number too long" in desk.fault(f"[health]\nport = {'9' * 5000}")
    assert "health.port" in desk.fault(f"[health]\nport = {'9' * 400}")


# --- refusals -----------------------------------------------------------------------------------------------


def test_all_faults_at_once(desk: Desk) -> None:
    text = """
        state_dirr = "x"
        [image]
        widths = [1]
        [images]
        width = [320]
        max_bytes = "many"
        [health]
        port = 65536
        token = 7
    """
    path = desk.cwd / "config.toml"
    environ = {"PORT": "-1", "PICTUREDESK__LOG__LEVEL": "INFO", "PICTUREDESK__LOGLEVEL": "x"}
    assert sorted(desk.faults(text, **environ)) == sorted(
        [
            f"{path}: unknown key state_dirr; did you mean state_dir?",
            f"{path}: unknown section [image]; did you mean [images]?",
            f"{path}: unknown key images.width; did you mean images.widths?",
            f'{path}: images.max_bytes = "many" is refused; allowed: a whole number, 1024 to 2147483648',
            f"{path}: health.port = 65536 is refused; allowed: a whole number, 0 to 65535",
            f"{path}: health.token = (hidden) is refused; allowed: printable ASCII characters without spaces",
            'PORT = "-1" is refused; allowed: a whole number, 0 to 65535',
            'PICTUREDESK__LOG__LEVEL = "INFO" is refused; allowed: '
            '"debug" or "info" or "warning" or "error"; did you mean "info"?',
            "PICTUREDESK__LOGLEVEL: unknown environment variable; did you mean PICTUREDESK__LOG__LEVEL?",
        ]
    )


BAD = {
    "state_dir": ['""', "1", '"a\\u0000b"', "{ x = 1 }"],
    "telegram.heartbeat_seconds": ["0", "nan", "inf", "-inf", '"60"', "true", "3601", "[60]"],
    "images.widths": [
        "[]",
        "320",
        "[15]",
        "[16384]",
        "[320.0]",
        "[true]",
        "[[320]]",
        '["320"]',
        str([*range(20, 37)]),
    ],
    "images.webp": ["1", '"true"'],
    "images.max_bytes": ["1.0", "true", "1023", "2147483649", "1979-05-27"],
    "pool.workers": ["-1", "257"],
    "storage.backend": ['"s3"', '""'],
    "storage.public_url": [
        '"ftp://x"',
        '"example.org"',
        '"http://"',
        '"https://me:pw@x"',
        '"https://x/?q"',
        '"http://a b"',
    ],
    "storage.prefix": ['"/a"', '"../a"', '"a/../b"', '"a//b"', '"a b"', '"a/."', '"ä"', '"a\\n"', '"/"'],
    "health.host": ['""', '"a b"', '"http://x"'],
    "health.token": ['"a b"', '"ä"'],
    "log.format": ['"xml"'],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_bad_values(desk: Desk, name: str, value: str) -> None:
    section, _, key = name.rpartition(".")
    fault = desk.fault(f"[{section}]\n{key} = {value}" if section else f"{key} = {value}")
    assert fault.startswith(f"{desk.cwd / 'config.toml'}: {name} = ")
    assert f"is refused; allowed: {named(name).allowed}" in fault


ACCOUNT = {
    "PICTUREDESK__TELEGRAM__API_ID": "7",
    "PICTUREDESK__TELEGRAM__API_HASH": "0" * 32,
    "PICTUREDESK__TELEGRAM__CHANNELS": "@newsdesk",
}


@pytest.mark.parametrize("entry", [e for e in TABLE if e.kind in (int, float)], ids=lambda e: str(e.name))
def test_the_bounds_are_allowed_and_nothing_beyond(desk: Desk, entry: SettingEntry) -> None:
    around = {
        "PICTUREDESK__POOL__MEMORY_SOFT_MB": "32",
        "PICTUREDESK__POOL__MEMORY_CAP_MB": str(2**20),
        **(ACCOUNT if entry.section == "telegram" else {}),
    }
    for bound, beyond in ((entry.rule.low, -1), (entry.rule.high, 1)):
        # A soft cap as high as the cap is refused, and so is a hash without an account.
        if (entry.name, bound) not in (("pool.memory_soft_mb", entry.rule.high), ("telegram.api_id", 0)):
            assert lookup(desk.load(**around | {entry.variable: f"{bound}"}), entry) == bound
        assert entry.allowed in desk.fault(**around | {entry.variable: f"{bound + beyond}"})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("HEARTBEAT_SECS", "abc"),
        ("HEARTBEAT_SECS", "nan"),
        ("HEARTBEAT_SECS", "1e1"),
        ("ENABLE_WEBP", "maybe"),
        ("MAX_IMAGE_SIZE_BYTES", "50MB"),
        ("MAX_IMAGE_SIZE_BYTES", "1_000_000"),
        ("MAX_IMAGE_SIZE_BYTES", "9" * 5000),
        ("IMAGE_SIZES", "320,,640"),
        ("IMAGE_SIZES", "wide"),
        ("IMAGE_SIZES", "[320"),
        ("IMAGE_SIZES", "[" * 100_000),
        ("PICTUREDESK__IMAGES__WIDTHS", '{"a": 1}'),
        ("PICTUREDESK__STATE_DIR", " "),
    ],
)
def test_bad_texts(desk: Desk, variable: str, text: str) -> None:
    fault = desk.fault(**{variable: text})
    assert fault.startswith(f"{variable} = {json.dumps(text)[:80]}")
    assert len(fault) < 300


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("port = 1", "unknown key port; did you mean health.port?"),
        ("[pool]\nport = 1", "unknown key pool.port; did you mean health.port?"),
        ("[retry]\nmax_atempts = 1", "unknown key retry.max_atempts; did you mean retry.max_attempts?"),
        ("[retry]\nzzz = 1", "unknown key retry.zzz; known here: max_attempts, base_seconds"),
        ('"images.widths" = [320]', "unknown key images.widths; known here: state_dir"),
        ("[Images]\nwebp = true", "unknown section [Images]; did you mean [images]?"),
        ("[zzz]", "unknown section [zzz]; known: telegram, export, images,"),
        ("images = 1", "images is a section: write [images] on a line of its own"),
        ("[[images]]", "images is a section: write [images] on a line of its own"),
        ('"a\\nb" = 1', "unknown key a\\nb; known here: state_dir"),
    ],
)
def test_unknown_names_in_the_file(desk: Desk, text: str, meant: str) -> None:
    assert desk.fault(text).startswith(f"{desk.cwd / 'config.toml'}: {meant}")


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PICTUREDESK__HEALTH__PROT", "did you mean PICTUREDESK__HEALTH__PORT?"),
        ("PICTUREDESK_HEALTH_PORT", "did you mean PICTUREDESK__HEALTH__PORT?"),
        ("PICTUREDESK_STATE_DIR", "did you mean PICTUREDESK__STATE_DIR?"),
        ("PICTUREDESK_CONFG", "did you mean PICTUREDESK_CONFIG?"),
        ("PICTUREDESK__health__port", "did you mean PICTUREDESK__HEALTH__PORT?"),
        ("PICTUREDESK_QQ", "settings are named PICTUREDESK__SECTION__KEY"),
    ],
)
def test_unknown_names_in_the_environment(desk: Desk, variable: str, meant: str) -> None:
    assert desk.fault(**{variable: "s3cret"}) == f"{variable}: unknown environment variable; {meant}"


@pytest.mark.parametrize(
    "give",
    [
        lambda desk: desk.faults('[health]\ntoken = ["s3cret"]'),
        lambda desk: desk.faults('[health]\ntoken = "s3cret s3cret"'),
        lambda desk: desk.faults('[health]\ntokn = "s3cret"'),
        lambda desk: desk.faults('[helth]\ntoken = "s3cret"'),
        lambda desk: desk.faults('health = "s3cret"'),
        lambda desk: desk.faults('[health]\ntoken = "s3cret"\nport = -1'),
        lambda desk: desk.faults(PICTUREDESK__HEALTH__TOKEN="s3cret\n"),
        lambda desk: desk.faults(PICTUREDESK__HEALTH_TOKEN="s3cret"),
        lambda desk: desk.faults('[notify]\nurls = ["s3cret"]'),
        lambda desk: desk.faults('[notify]\nurls = "tgram://s3cret"'),
        lambda desk: desk.faults(PICTUREDESK__NOTIFY__URLS='["tgram://s3cret"'),
        lambda desk: desk.faults(PICTUREDESK__NOTIFY__HEARTBEAT_URL="ftp://s3cret"),
        lambda desk: [repr(desk.load(PICTUREDESK__NOTIFY__URLS="tgram://s3cret"))],
        lambda desk: [str(desk.load(PICTUREDESK__NOTIFY__URLS="tgram://s3cret").public())],
        lambda desk: [repr(desk.load(PICTUREDESK__HEALTH__TOKEN="s3cret"))],
        lambda desk: [str(desk.load(PICTUREDESK__HEALTH__TOKEN="s3cret").public())],
    ],
)
def test_a_secret_is_never_shown(desk: Desk, give: Callable[[Desk], list[str]]) -> None:
    assert "s3cret" not in "\n".join(give(desk))


def test_a_secret_that_is_set_is_said_to_be(desk: Desk) -> None:
    settings = desk.load(PICTUREDESK__HEALTH__TOKEN="s3cret")
    assert settings.health.token == "s3cret"
    assert settings.public()["health.token"] == "(set)"


def test_a_weaker_value_is_checked_too(desk: Desk) -> None:
    assert "health.port" in desk.fault("[health]\nport = -1", PORT="80")


# --- normal forms, and what doesn't go together -------------------------------------------------------------


def test_a_channels_id_needs_no_quotes(desk: Desk) -> None:
    ids = ("-1001234567890", "1234567891")
    assert desk.load("[telegram]\nchannels = [-1001234567890, 1234567891]").telegram.channels == ids
    for text in ("[-1001234567890, 1234567891]", "-1001234567890, 1234567891", '["-1001234567890", 1234567891]'):
        assert desk.load(PICTUREDESK__TELEGRAM__CHANNELS=text).telegram.channels == ids
    for text in ("[true]", "[1.5]", "[0]"):
        assert "telegram.channels" in "".join(desk.faults(f"[telegram]\nchannels = {text}"))


@pytest.mark.parametrize("text", ["1920, 320,640,320", "[1920, 320, 640, 320]"])
def test_widths_ascend_and_stand_once(desk: Desk, text: str) -> None:
    assert desk.load(IMAGE_SIZES=text).images.widths == (320, 640, 1920)


@pytest.mark.parametrize(("given", "prefix"), [("", ""), ("a", "a/"), ("a/b.c/", "a/b.c/"), ("..a", "..a/")])
def test_a_prefix_ends_with_a_slash(desk: Desk, given: str, prefix: str) -> None:
    assert desk.load(f'[storage]\nprefix = "{given}"').storage.prefix == prefix


@pytest.mark.parametrize("url", ["", "http://[::1]:80", "https://img.example.org", "https://example.org/a/b"])
def test_a_public_url_has_no_slash_at_its_end(desk: Desk, url: str) -> None:
    assert desk.load(PICTUREDESK__STORAGE__PUBLIC_URL=f"{url}/" if url else "").storage.public_url == url


def test_the_soft_cap_is_below_the_hard_one(desk: Desk) -> None:
    place = f"{desk.cwd / 'config.toml'}: pool.memory_soft_mb"
    fault = desk.fault("[pool]\nmemory_soft_mb = 1200")
    assert fault == f"{place} = 1200 is refused; allowed: less than pool.memory_cap_mb (default) = 1200"
    fault = desk.fault(PICTUREDESK__POOL__MEMORY_CAP_MB="300")
    assert fault == (f"{place} = 1200 is refused; allowed: less than PICTUREDESK__POOL__MEMORY_CAP_MB = 300")
    assert desk.load(PICTUREDESK__POOL__MEMORY_CAP_MB="1201").pool.memory_soft_mb == 1200


# --- credentials ----------------------------------------------------------------------------------------------


def credentials(desk: Desk, **texts: str | bytes) -> str:
    """A folder with these credentials; in the names, `__` stands for a dot."""
    folder = desk.cwd / "credentials"
    folder.mkdir()
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_bytes(text.encode() if isinstance(text, str) else text)
    return str(folder)


HASH, OTHER_HASH, THIRD_HASH = "a" * 32, "b" * 32, "c" * 32


@pytest.mark.parametrize("prefix", ["", "picturedesk_"])
def test_a_credential_gives_its_setting(desk: Desk, prefix: str) -> None:
    folder = credentials(desk, **{f"{prefix}telegram__api_hash": f"{HASH}\n", f"{prefix}health__token": "s3cret\r\n"})
    settings = desk.load("[telegram]\napi_id = 7", CREDENTIALS_DIRECTORY=folder)
    assert (settings.telegram.api_hash, settings.health.token) == (HASH, "s3cret")


def test_every_setting_can_be_a_credential(desk: Desk) -> None:
    folder = credentials(
        desk, telegram__api_id="7", telegram__api_hash=HASH, images__widths="100,200", log__level="debug"
    )
    settings = desk.load(CREDENTIALS_DIRECTORY=folder)
    assert (settings.telegram.api_id, settings.images.widths, settings.log.level) == (7, (100, 200), "debug")


def test_addresses_of_messages_stand_on_lines_of_their_own_in_a_credential(desk: Desk) -> None:
    folder = credentials(desk, notify__urls="tgram://token/1,2\nmailtos://me:secret@example.org\n")
    urls = ("tgram://token/1,2", "mailtos://me:secret@example.org")
    assert desk.load(CREDENTIALS_DIRECTORY=folder).notify.urls == urls, "a comma is part of an address"
    assert desk.load(PICTUREDESK__NOTIFY__URLS=" ".join(urls)).notify.urls == urls
    assert desk.load(PICTUREDESK__NOTIFY__URLS=json.dumps(urls)).notify.urls == urls


def test_environment_over_credential_over_file(desk: Desk) -> None:
    file = f'[telegram]\napi_id = 7\napi_hash = "{HASH}"'
    folder = credentials(desk, telegram__api_hash=OTHER_HASH, health__port="81")
    assert desk.load(file, CREDENTIALS_DIRECTORY=folder).telegram.api_hash == OTHER_HASH
    settings = desk.load(file, CREDENTIALS_DIRECTORY=folder, PICTUREDESK__TELEGRAM__API_HASH=THIRD_HASH, PORT="82")
    assert (settings.telegram.api_hash, settings.health.port) == (THIRD_HASH, 82)


def test_an_empty_credential_counts_as_unset_and_other_programs_files_are_left_alone(desk: Desk) -> None:
    folder = credentials(desk, telegram__api_hash="\n", database_password="x", tls__key=b"\xff")
    assert desk.load(CREDENTIALS_DIRECTORY=folder).public() == desk.load().public()


def test_a_bad_credential_is_refused_without_showing_it(desk: Desk) -> None:
    folder = credentials(
        desk, telegram__api_hash="s3cret", telegram__session=b"\xff", picturedesk_catalog__keys="s3cret"
    )
    faults = desk.faults(CREDENTIALS_DIRECTORY=folder)
    assert [fault.removeprefix(f"credential {folder}/").partition(";")[0] for fault in faults] == [
        "picturedesk_catalog.keys: unknown name",
        "telegram.session: is not UTF-8 text",
        "telegram.api_hash = (hidden) is refused",
    ]
    assert "did you mean catalog.key?" in faults[0]
    assert "s3cret" not in "".join(faults)


def test_a_credentials_folder_that_is_not_there_is_refused(desk: Desk) -> None:
    assert desk.fault(CREDENTIALS_DIRECTORY="/nowhere") == "CREDENTIALS_DIRECTORY: /nowhere can't be read: " + (
        "No such file or directory"
    )


@pytest.mark.parametrize(
    ("given", "wanted"), [('"auto"', "auto"), ("true", "true"), ("false", "false"), ('"true"', "true")]
)
def test_a_word_that_may_be_true_or_false_needs_no_quotes(tmp_path: Path, given: str, wanted: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"[feeds]\nenabled = {given}\n")
    assert load(config, {}, tmp_path, tmp_path).feeds.enabled == wanted
    assert load(config, {"PICTUREDESK__FEEDS__ENABLED": "0"}, tmp_path, tmp_path).feeds.enabled == "false"
    config.write_text("[feeds]\nenabled = 1\n")
    with pytest.raises(SettingsError, match='allowed: "auto" or "true" or "false"'):
        load(config, {}, tmp_path, tmp_path)
