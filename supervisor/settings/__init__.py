"""The settings: read from file, credentials and environment, checked as a whole.

Strongest first: PICTUREDESK__SECTION__KEY, the plain names (PORT, IMAGE_SIZES, …), the credentials, the file, what
`machines.join` says of other settings, the default. A file that only repeats the default is weaker than that, too: as
it comes it names every setting. A weaker value is checked all the same. A plain name that is set but empty counts as
unset: deployment tools leave them so. Credentials are files in the folder that CREDENTIALS_DIRECTORY names; see
`supervisor.settings.credentials`.

`load` finds all faults at once: it raises one SettingsError with a line for each, which gives its place, the value,
what is allowed and what was probably meant. It never shows the value of a secret, nor that of an unknown name, which
may be a misspelt secret.

`supervisor.settings.table` has the settings, `supervisor.settings.values` checks one value.
"""

import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.settings import commands, credentials, join, post_rules, tables, webhooks
from supervisor.settings.rules import SettingEntry
from supervisor.settings.table import SECTIONS, TABLE, Settings
from supervisor.settings.values import checked, from_text, nearest, refusal, shown

__all__ = ["Settings", "SettingsError", "load"]

# Names that begin like a setting's and are none.
OTHER_VARIABLES = ("PICTUREDESK_CONFIG", "PICTUREDESK_FAILPOINT", "PICTUREDESK_PYTHONPATH")

BY_PLACE = {(entry.section, entry.key): entry for entry in TABLE}
BY_NAME = {entry.name: entry for entry in TABLE}
BY_VARIABLE = {entry.variable: entry for entry in TABLE}

READERS: dict[str, Callable[[str, Any, Path], tuple[Any, ...]]] = {
    "supervisor.command": commands.read,
    "telegram.rules": post_rules.read,
    "webhook": webhooks.read,
}
"""What reads each setting that is a list of tables."""


class SettingsError(Exception):
    """The configuration is refused; `faults` has a line for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(_one_line(fault) for fault in faults)
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True, slots=True)
class Given:
    """A value, where it was found (`place`, as messages say it), and where its relative paths begin (`base`)."""

    entry: SettingEntry
    place: str
    value: Any
    base: Path
    is_text: bool = False

    def checked(self) -> Any:
        value = from_text(self.entry, self.value) if self.is_text else self.value
        if self.entry.is_tables:
            return READERS[self.entry.name](self.place, value, self.base)
        return checked(self.entry, value, self.base)

    def refusal(self, hint: str) -> str:
        return refusal(self.place, self.entry, self.value, hint)


def load(config: Path | None, environ: Mapping[str, str], cwd: Path, home: Path) -> Settings:
    """The settings from the file, the credentials and `environ`.

    `config` is what --config says; without it the file is PICTUREDESK_CONFIG's, ./config.toml in `cwd` when
    there is one, or the one in `home`, the checkout. Relative paths begin at the file's folder when they
    stand in the file, at `cwd` in the environment and at `home` in the defaults. Raises SettingsError.
    """
    faults: list[str] = []
    file = _choose_file(config, environ, cwd, home)
    document = _read(file, faults) if file else {}
    given = [
        *_given_by_file(file or home, document, faults),
        *_given_by_credentials(environ, faults),
        *_given_by_plain_names(environ, cwd),
        *_given_by_variables(environ, cwd, faults),
    ]
    joined = list(_given_by_join(given))
    given = [*joined, *_besides_defaults(given, {one.entry.name for one in joined})]
    values = {entry.name: home / entry.default for entry in TABLE if entry.kind is Path}
    places: dict[str, str] = {}
    for one in given:  # weakest first
        try:
            values[one.entry.name] = one.checked()
            places[one.entry.name] = one.place
        except tables.Faults as error:
            faults += error.faults
        except (ValueError, RecursionError) as error:
            faults.append(one.refusal("" if isinstance(error, json.JSONDecodeError) else str(error)))
    settings = _built(values, file)
    if not faults:
        faults += _contradictions(settings, places)
    if faults:
        raise SettingsError(faults)
    return settings


def _choose_file(config: Path | None, environ: Mapping[str, str], cwd: Path, home: Path) -> Path | None:
    named = config or environ.get("PICTUREDESK_CONFIG")
    if named:
        return cwd / named
    return next((path for path in (cwd / "config.toml", home / "config.toml") if path.is_file()), None)


def _read(file: Path, faults: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        faults.append(f"{file}: can't be read: {error.strerror}; see --config and PICTUREDESK_CONFIG")
    except UnicodeDecodeError as error:
        faults.append(f"{file}: is not UTF-8 text, at byte {error.start}")
    except tomllib.TOMLDecodeError as error:
        faults.append(_syntax_fault(file, str(error)))
    except (ValueError, RecursionError):
        faults.append(f"{file}: has a number too long or lists too deep to be read")
    return {}


def _syntax_fault(file: Path, message: str) -> str:
    """tomllib says the place in words, at the end."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    return f"{file}:{found[2]}:{found[3]}: {found[1]}" if found else f"{file}: {message}"


# --- what is given, and where -----------------------------------------------------------------------------


def _given_by_file(file: Path, document: dict[str, Any], faults: list[str]) -> Iterator[Given]:
    for section, key, value in _flat(file, document, faults):
        name = f"{section}.{key}" if section else key
        if entry := BY_PLACE.get((section, key)):
            yield Given(entry, f"{file}: {name}", value, file.parent)
        else:
            faults.append(f"{file}: unknown key {name}; {_key_meant(section, key)}")


def _flat(file: Path, document: dict[str, Any], faults: list[str]) -> Iterator[tuple[str, str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict) and name in SECTIONS:
            yield from ((name, key, inner) for key, inner in value.items())
        elif isinstance(value, dict) and ("", name) not in BY_PLACE:
            near = nearest(name, SECTIONS)
            meant = _meant(f"[{near}]" if near else "", f"known: {', '.join(SECTIONS)}")
            faults.append(f"{file}: unknown section [{name}]; {meant}")
        elif name in SECTIONS:
            faults.append(f"{file}: {name} is a section: write [{name}] on a line of its own, its keys below")
        else:
            yield "", name, value


def _key_meant(section: str, key: str) -> str:
    """A key like it in its section, or the same key in another one, or one like it anywhere."""
    here = {entry.key: entry.name for entry in TABLE if entry.section == section}
    same = next((entry.name for entry in TABLE if entry.key == key), "")
    anywhere = {entry.key: entry.name for entry in TABLE}
    name = here.get(nearest(key, here)) or same or anywhere.get(nearest(key, anywhere), "")
    return _meant(name, f"known here: {', '.join(here)}")


def _meant(name: str, otherwise: str) -> str:
    return f"did you mean {name}?" if name else otherwise


def _given_by_credentials(environ: Mapping[str, str], faults: list[str]) -> Iterator[Given]:
    for file, name in credentials.found(environ, SECTIONS, faults):
        if entry := BY_NAME.get(name):
            text = credentials.read(file, faults)
            if text:  # an empty file is a place kept for a secret that isn't there yet
                yield Given(entry, f"credential {file}", text, file.parent, is_text=True)
        else:
            section, _, key = name.rpartition(".")
            faults.append(f"credential {file}: unknown name; {_key_meant(section, key)}")


def _given_by_plain_names(environ: Mapping[str, str], cwd: Path) -> Iterator[Given]:
    for entry in TABLE:
        if entry.rule.environ and (text := environ.get(entry.rule.environ)):
            yield Given(entry, entry.rule.environ, text, cwd, is_text=True)


def _given_by_variables(environ: Mapping[str, str], cwd: Path, faults: list[str]) -> Iterator[Given]:
    for name in sorted(name for name in environ if name.startswith("PICTUREDESK_")):
        if entry := BY_VARIABLE.get(name):
            yield Given(entry, name, environ[name], cwd, is_text=True)
        elif name not in OTHER_VARIABLES:
            known = {_stem(known): known for known in (*BY_VARIABLE, *OTHER_VARIABLES)}
            likely = known.get(nearest(_stem(name), known), "")
            meant = _meant(likely, "settings are named PICTUREDESK__SECTION__KEY")
            faults.append(f"{name}: unknown environment variable; {meant}")


def _given_by_join(given: Sequence[Given]) -> Iterator[Given]:
    """What the strongest `machines.join` says of other settings. A bad one is refused where it is checked itself."""
    for one in [one for one in given if one.entry.name == "machines.join"][-1:]:
        try:
            word = one.checked()
        except ValueError:
            return
        for name, value in (join.unpacked(word) if word else {}).items():
            yield Given(BY_NAME[name], f"{one.place}: {name}", value, one.base)


def _besides_defaults(given: Sequence[Given], names: Collection[str]) -> Iterator[Given]:
    """What is given, without defaults of these settings in the file: as it comes, the file has them all."""
    for one in given:
        if one.is_text or one.entry.name not in names or one.value != one.entry.default:
            yield one


def _stem(variable: str) -> str:
    """The variable without the common prefix, which would make all names alike."""
    return variable.removeprefix("PICTUREDESK_")


# --- the whole --------------------------------------------------------------------------------------------


def _built(values: Mapping[str, Any], file: Path | None) -> Settings:
    def chosen(section: str) -> dict[str, Any]:
        return {e.key: values[e.name] for e in TABLE if e.section == section and e.name in values}

    sections = {section: holder(**chosen(section)) for section, holder in SECTIONS.items()}
    return Settings(**chosen(""), **sections, config_file=file)


def _contradictions(settings: Settings, places: Mapping[str, str]) -> Iterator[str]:
    """Values that are good by themselves and bad together."""
    soft, cap = settings.pool.memory_soft_mb, settings.pool.memory_cap_mb
    if soft >= cap:
        soft_place = places.get("pool.memory_soft_mb", "pool.memory_soft_mb (default)")
        cap_place = places.get("pool.memory_cap_mb", "pool.memory_cap_mb (default)")
        yield f"{soft_place} = {soft} is refused; allowed: less than {cap_place} = {cap}"
    if settings.supervisor.worker_script and any(one.name == commands.WORKER for one in settings.supervisor.command):
        script = places["supervisor.worker_script"]
        yield f"{script} makes a child {commands.WORKER!r}, and {places['supervisor.command']} has one of that name too"
    yield from _unfit_role(settings, places)
    yield from _incomplete_account(settings, places)
    yield from _incomplete_service(
        settings, places, "storage", "files", ("endpoint", "bucket", "access_key_id", "secret_access_key")
    )
    yield from _incomplete_service(settings, places, "catalog", "sqlite", ("url", "key"))
    yield from _incomplete_cdn(settings, places)


def _unfit_role(settings: Settings, places: Mapping[str, str]) -> Iterator[str]:
    """Machines meet in the project and the bucket, so they need both."""
    role = settings.machines.role
    wanted = {"storage": "r2", "catalog": "supabase"}
    missing = [f'{name}.backend = "{its}"' for name, its in wanted.items() if getattr(settings, name).backend != its]
    if role != "all" and missing:
        remedy = ", or machines.join, which bin/run nodes --join prints at the origin" if role == "node" else ""
        yield f"{places['machines.role']} = {shown(role)} needs {' and '.join(missing)} as well{remedy}"
    if role != "node" and settings.machines.join:
        remedy = 'set machines.role = "node", or leave it out'
        yield f'{places["machines.join"]} is set, but machines.role is "{role}": {remedy}'


def _incomplete_account(settings: Settings, places: Mapping[str, str]) -> Iterator[str]:
    telegram = settings.telegram
    if settings.machines.role == "node":  # it has no account, so what stands there is passed over
        return
    if telegram.api_id and not telegram.api_hash:
        yield f"{places['telegram.api_id']} is set, telegram.api_hash is not: both are on https://my.telegram.org/apps"
    if telegram.api_hash and not telegram.api_id:
        yield f"{places['telegram.api_hash']} is set, telegram.api_id is not: both are on https://my.telegram.org/apps"


def _incomplete_service(
    settings: Settings, places: Mapping[str, str], section: str, embedded: str, keys: Sequence[str]
) -> Iterator[str]:
    """A service needs all of its keys. The embedded one needs none: a key set there means a forgotten choice."""
    values = getattr(settings, section)
    given = [key for key in keys if getattr(values, key)]
    missing = [f"{section}.{key}" for key in keys if key not in given]
    name = f"{section}.backend"
    if values.backend != embedded and missing:
        yield f"{places[name]} = {shown(values.backend)} needs {', '.join(missing)} as well"
    if values.backend == embedded and given:
        other = next(choice for choice in BY_PLACE[section, "backend"].rule.choices if choice != embedded)
        place = places[f"{section}.{given[0]}"]
        yield f'{place} is set, but {name} is "{embedded}": set {name} = "{other}", or leave it out'


def _incomplete_cdn(settings: Settings, places: Mapping[str, str]) -> Iterator[str]:
    """A zone is asked with a token, and about addresses that begin with `public_url`."""
    storage = settings.storage
    if storage.cloudflare_zone:
        missing = [f"storage.{key}" for key in ("cloudflare_token", "public_url") if not getattr(storage, key)]
        if missing:
            yield f"{places['storage.cloudflare_zone']} is set, which needs {' and '.join(missing)} as well"
    elif storage.cloudflare_token:
        yield f"{places['storage.cloudflare_token']} is set, storage.cloudflare_zone is not set: set both, or neither"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
