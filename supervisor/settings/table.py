"""Every setting of Picturedesk, once: name, type, default, unit, range, names in the environment and meaning.

The dataclasses are the table and the result at the same time: `supervisor.settings.load` fills them, and checks each
value against the rule in `setting(…)`. config.toml and docs/reference.md are made from the table.

Plain dataclasses instead of pydantic: the root process imports this, and its RSS has to stay below 30 MiB;
pydantic alone was measured at 20 MB.
"""

import dataclasses
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipc.text import channel_address
from supervisor.settings import join
from supervisor.settings.commands import WORKER, CommandSettings, command_line
from supervisor.settings.post_rules import RuleSettings
from supervisor.settings.rules import SettingEntry, setting
from supervisor.settings.webhooks import WebhookSettings

AUTO = "auto"
"""Value of a number that the installation itself decides on."""

_PRINTABLE = "printable ASCII characters without spaces"
_HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_PORT = r"[1-9][0-9]{0,4}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramSettings:
    """Where the posts come from: an account that reads the channels. Without api_id, an export is read instead."""

    api_id: int = setting(
        0, "the application's id, from https://my.telegram.org/apps; 0 for no account", low=0, high=2**31 - 1
    )
    api_hash: str = setting(
        "",
        "the application's hash, from the same page",
        pattern=r"([0-9a-f]{32})?",
        form="32 hexadecimal digits",
        secret=True,
    )
    session: str = setting(
        "telegram.session",
        "the account's session, a file that bin/run login makes in state_dir",
        pattern=r"\S+",
        form="a file's name or a StringSession",
        secret=True,
    )
    channels: tuple[str, ...] = setting(
        (),
        "the channels to read",
        read=channel_address.parse,
        form=channel_address.FORM,
    )
    backfill_on_start: bool = setting(
        False, "also take what was posted before a channel was first seen", environ="BACKFILL_ON_START"
    )
    backfill_limit: int = setting(
        0,
        "how many of the newest messages of each channel; 0 for all",
        low=0,
        high=2**31 - 1,
        environ="BACKFILL_LIMIT",
    )
    heartbeat_seconds: float = setting(
        60.0,
        "how often the connection reports itself",
        unit="s",
        low=0.05,
        high=3600,
        environ="HEARTBEAT_SECS",
    )
    max_restarts: int = setting(
        10,
        "how often in a row it connects again, in vain, before the process is replaced",
        low=0,
        high=10**6,
        environ="MAX_RESTARTS",
    )
    reconnect_delay_seconds: float = setting(
        5.0,
        "pause after the first failed attempt to connect, doubled for each further one",
        unit="s",
        low=0.05,
        high=3600,
    )
    monitor_seconds: float = setting(
        30.0, "how often the connection to Telegram is probed", unit="s", low=0.05, high=3600
    )
    reconcile_messages: int = setting(
        200, "how many of a channel's newest messages are read again for edits and deletions", low=0, high=10**5
    )
    reconcile_seconds: float = setting(
        300.0, "how often they are read again, besides after every reconnect", unit="s", low=0.05, high=86400
    )
    downloads: int = setting(8, "pictures downloaded at the same time", low=1, high=64)
    web_previews: bool = setting(False, "also take the pictures of web-page previews")
    editor_commands: bool = setting(
        False,
        "whether captions have commands: a line alt: … is alternative text, #hide takes the post off the site, #cover"
        " marks the first picture of its album",
    )
    video_posters: bool = setting(
        False, "also take the posters of videos, their cover or largest thumbnail; of an export's too"
    )
    server: str = setting(
        "",
        "a server instead of Telegram's own",
        pattern=rf"(([1-9][0-9]{{0,4}}@)?{_HOST}:{_PORT})?",
        form="[DC@]HOST:PORT, or empty",
    )
    public_key: str = setting(
        "",
        "that server's RSA key in PEM",
        pattern=r"(\s*-----BEGIN RSA PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END RSA PUBLIC KEY-----\s*)?",
        form="-----BEGIN RSA PUBLIC KEY----- …, or empty",
    )
    proxy: str = setting(
        "",
        "proxy to reach Telegram through",
        pattern=rf"((socks5|http)://([^\s:@/]+:[^\s@/]*@)?{_HOST}:{_PORT}|mtproxy://(dd)?[0-9a-fA-F]{{32}}@{_HOST}:{_PORT})?",
        form="socks5:// or http://[USER:PASSWORD@]HOST:PORT, mtproxy://SECRET@HOST:PORT, or empty",
        secret=True,
    )
    # The last one: in config.toml, what stands below a table belongs to it.
    rules: tuple[RuleSettings, ...] = setting((), RuleSettings.__doc__ or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """A Telegram Desktop export, read when no Telegram account is configured."""

    path: Path = setting(Path("examples/export"), "the folder that result.json is in")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesSettings:
    """What is made of a picture, and which pictures are too large."""

    widths: tuple[int, ...] = setting(
        (320, 640, 1280, 1920),
        "widths of the ladder; a picture is never enlarged",
        unit="px",
        low=16,
        high=16383,  # a WebP can't be wider
        environ="IMAGE_SIZES",
    )
    webp: bool = setting(True, "make WebP renditions", environ="ENABLE_WEBP")
    avif: bool = setting(True, "make AVIF renditions", environ="ENABLE_AVIF")
    jpeg_width: int = setting(
        1280,
        "width of the JPEG rendition for mail, feeds and old readers, never wider than the ladder's widest; 0: none",
        unit="px",
        low=0,
        high=16383,
    )
    preview: bool = setting(True, "make a picture of 1200 × 630 px for link cards, of the part that matters most")
    animations: bool = setting(
        True, "renditions of animations move, within limits; else the first frame stands for an animation"
    )
    preset: str = setting(
        "balanced",
        "how hard the encoders try, at the same quality: fast takes 0.9 of balanced's time for 5 % larger WebP, small"
        " twice for AVIF 4 % and WebP 10 % smaller",
        choices=("balanced", "fast", "small"),
    )
    max_bytes: int = setting(
        50 * 2**20, "largest file", unit="bytes", low=1024, high=2**31, environ="MAX_IMAGE_SIZE_BYTES"
    )
    max_dimension: int = setting(8192, "longest side", unit="px", low=16, high=65535, environ="MAX_IMAGE_DIMENSION")
    max_pixels: int = setting(
        8192 * 6144,
        "largest width × height; the default lets a 50-megapixel camera through",
        unit="px",
        low=256,
        high=2**29,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The image workers."""

    workers: int = setting(
        0, "how many; 0 is one for each core, or as many as a CPU quota gives, rounded up", low=0, high=256
    )
    memory_soft_mb: int = setting(256, "a worker above this is replaced after its job", unit="MiB", low=32, high=2**20)
    memory_cap_mb: int = setting(
        1200,
        "a worker above this is killed; a picture takes about 45 MiB + 22 bytes a pixel",
        unit="MiB",
        low=64,
        high=2**20,
    )
    job_seconds: float = setting(60.0, "longest time for one picture", unit="s", low=0.05, high=86400)
    gc_every: int = setting(10, "pictures between two garbage collections of a worker", low=1, high=10**6)
    poison_after: int = setting(2, "deaths of its workers after which a picture is set aside", low=1, high=100)
    sandbox: str = setting(
        "auto",
        "image workers are sealed as well as the machine can; not started without seccomp; or not sealed",
        choices=("auto", "require", "off"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """The pictures on their way, as files in state_dir."""

    max_mb: int = setting(2048, "nothing is fetched above this", unit="MiB", low=1, high=2**24)
    min_free_mb: int = setting(
        200, "nothing is fetched while the disk has less than this left", unit="MiB", low=0, high=2**24
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where the renditions go."""

    backend: str = setting("files", "files: state_dir/media; r2: a bucket of R2 or any S3", choices=("files", "r2"))
    endpoint: str = setting(
        "",
        "the bucket's S3 API, for R2 https://ACCOUNT.r2.cloudflarestorage.com",
        pattern=r"(https?://[^\s/?#@]+/?)?",
        form="an http or https address without a path, or empty",
        finish=lambda address: address.rstrip("/"),
    )
    bucket: str = setting(
        "", "the bucket's name", pattern=r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?", form="a bucket's name, or empty"
    )
    access_key_id: str = setting(
        "", "of a token that may read and write the bucket", pattern=r"[!-~]*", form=_PRINTABLE
    )
    secret_access_key: str = setting("", "of the same token", pattern=r"[!-~]*", form=_PRINTABLE, secret=True)
    concurrency: int = setting(8, "objects put at the same time", low=1, high=64)
    answer_seconds: float = setting(30.0, "longest wait for an answer of the bucket", unit="s", low=0.1, high=3600)
    public_url: str = setting(
        "",
        "address that serves the objects; the URLs in the rows begin with it",
        pattern=r"(https?://[^\s/?#@]+(/[^\s?#]*)?)?",
        form="an http or https address, or empty",
        finish=lambda url: url.rstrip("/"),
    )
    prefix: str = setting(
        "",
        "put before every object's key",
        pattern=r"((?!\.{1,2}(/|$))[A-Za-z0-9._-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)*/?)?",
        form='letters, digits, "-", "_", "." and "/", without a leading "/" or "..", or empty',
        finish=lambda prefix: f"{prefix.rstrip('/')}/" if prefix else "",
    )
    originals: str = setting(
        "stripped",
        "originals are published without EXIF, GPS, XMP and comments; as they came; or not at all",
        choices=("stripped", "as_is", "none"),
    )
    takedown_after_seconds: float = setting(
        AUTO,
        "how long after its row the objects of a deleted or hidden post go; -1: only gc deletes them; auto: 60, or -1"
        " in an installation that is older than this setting",
        unit="s",
        low=-1,
        high=30 * 86400,
        words=(AUTO,),
    )
    cloudflare_zone: str = setting(
        "",
        "the id of public_url's zone, whose copies of such objects Cloudflare is asked to forget",
        pattern=r"([0-9a-f]{32})?",
        form="32 hexadecimal digits, or empty",
    )
    cloudflare_token: str = setting(
        "", "a token with the permission Cache Purge for that zone", pattern=r"[!-~]*", form=_PRINTABLE, secret=True
    )
    cloudflare_api: str = setting(
        "",
        "another address of Cloudflare's API",
        pattern=r"(https?://[^\s?#@]+)?",
        form="an http or https address, or empty for its own",
        finish=lambda url: url.rstrip("/"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogSettings:
    """Where the rows go."""

    backend: str = setting(
        "sqlite", "sqlite: state_dir/catalog.db; supabase: a project", choices=("sqlite", "supabase")
    )
    url: str = setting(
        "",
        "the project's address, https://PROJECT.supabase.co",
        pattern=r"(https?://[^\s/?#@]+/?)?",
        form="an http or https address without a path, or empty",
        finish=lambda address: address.rstrip("/"),
    )
    key: str = setting(
        "",
        "a secret key (sb_secret_…) or the service_role key; or a node's own, API key:token (how to make it is said by"
        " `bin/run schema --machines`)",
        pattern=r"[!-~]*",
        form=_PRINTABLE,
        secret=True,
    )
    answer_seconds: float = setting(10.0, "longest wait for an answer of the project", unit="s", low=0.1, high=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """Failures that may pass by themselves."""

    max_attempts: int = setting(
        5,
        "retries of a failed message before it is dead",
        low=0,
        high=1000,
        environ="MAX_MESSAGE_RETRIES",
    )
    base_seconds: float = setting(
        60.0,
        "pause before the first retry, doubled for each further one",
        unit="s",
        low=0,
        high=86400,
        environ="RETRY_DELAY_BASE_SECS",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """The circuit breakers of storage, catalogue and webhooks, one each."""

    failures: int = setting(5, "failures in a row after which it opens", low=1, high=1000)
    timeout_seconds: float = setting(60.0, "how long it stays open before a probe", unit="s", low=0.05, high=86400)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """Restarts and stops."""

    max_restarts: int = setting(
        100,
        "a child with more restarts than this within the window takes the tree down",
        low=0,
        high=10**6,
        environ="SUPERVISOR_MAX_RESTARTS",
    )
    window_seconds: float = setting(3600.0, "the window that restarts are counted in", unit="s", low=1, high=30 * 86400)
    restart_delay_seconds: float = setting(
        10.0,
        "longest pause between two restarts of a child",
        unit="s",
        low=0,
        high=3600,
        environ="SUPERVISOR_RESTART_DELAY",
    )
    drain_seconds: float = setting(30.0, "time for the work in hand when asked to stop", unit="s", low=0, high=3600)
    memory_floor_mb: int = setting(
        150,
        "with less memory left on the machine, half of the image workers rest and nothing is fetched; 0 for no floor",
        unit="MiB",
        low=0,
        high=2**24,
    )
    memory_pressure_percent: float = setting(
        20.0,
        "the same while processes wait for memory for more of the time (PSI, some avg10); 0 for no limit",
        unit="%",
        low=0,
        high=100,
    )
    worker_script: str = setting(
        "",
        f'a command, run as the child "{WORKER}" in the folder that the program was started in',
        form="split as a shell would, run without one; or empty",
        environ="WORKER_SCRIPT",
        finish=command_line,
    )
    command: tuple[CommandSettings, ...] = setting((), CommandSettings.__doc__ or "", secret=True)

    def commands(self) -> tuple[CommandSettings, ...]:
        """All commands, that of `worker_script` first."""
        script = tuple(shlex.split(self.worker_script))
        return (*([CommandSettings(name=WORKER, command=script)] if script else []), *self.command)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """The HTTP server of /status, /health and the page."""

    host: str = setting(
        "127.0.0.1",
        "address to listen on; 0.0.0.0 for all",
        pattern=r"[A-Za-z0-9.:_%-]+",
        form="a host name or an IP address",
    )
    port: int = setting(8080, "port to listen on; 0 is any free one", low=0, high=65535, environ="PORT")
    token: str = setting(
        "",
        "bearer token that requests must carry; empty for none",
        pattern=r"[!-~]*",
        form=_PRINTABLE,
        secret=True,
    )
    show_captions: bool = setting(
        False, "whether the page shows channels' titles and, to screen readers, pictures' captions"
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "host names of requests, besides localhost and any IP address; a reverse proxy passes its own on",
        pattern=r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\*",
        form='a host name without port, or "*" for any',
        finish=lambda name: name.lower().rstrip("."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Messages to people: when something is wrong, and when it is over. docs/operation.md has addresses to copy."""

    urls: tuple[str, ...] = setting(
        (),
        "where messages go, as Apprise writes addresses: tgram://…, ntfys://…, mailtos://…, a hundred more",
        pattern=r"[A-Za-z][A-Za-z0-9+.-]*://\S+",
        form="SCHEME://…, in the environment or a credential with blanks or line ends between them",
        separator=None,
        secret=True,
    )
    after_seconds: float = setting(
        120.0,
        "how long a problem lasts before it is told, and is gone before it is over",
        unit="s",
        low=0,
        high=86400,
    )
    heartbeat_url: str = setting(
        "",
        "asked for every minute while all is well, of a service that tells when it hears nothing (healthchecks.io)",
        pattern=r"(https?://[!-~]+)?",
        form="an http or https address, or empty",
        secret=True,
    )
    name: str = setting(
        "",
        "what messages call this instance; empty for the name of the host",
        pattern=r"[^\x00-\x1f]{0,60}",
        form="at most 60 characters",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedsSettings:
    """Feeds beside the pictures, JSON Feed and Atom: feeds/all and feeds/CHANNEL_ID, each with .json and .xml."""

    enabled: str = setting(
        "auto",
        "auto: with files on, with a bucket off, as anyone who guesses its address can read a feed, captions and all",
        choices=("auto", "true", "false"),
    )
    items: int = setting(50, "posts in each feed, the newest; an album is one", low=1, high=500)
    title: str = setting(
        "Pictures",
        "title of the feed of all channels; a channel's has the channel's title",
        pattern=r"[^\x00-\x1f\x7f]{1,200}",
        form="1 to 200 characters",
    )
    home_page_url: str = setting(
        "",
        "the website that the feeds belong to; empty: the gallery, else the channel on Telegram",
        pattern=r"(https?://[!-~]+)?",
        form="an http or https address, or empty",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """The gallery beside the pictures, a static website: site/index.html and what it links to."""

    enabled: str = setting(
        "auto",
        "auto: with files on, with a bucket off, as anyone who guesses its address can read it, captions and all",
        choices=("auto", "true", "false"),
    )
    title: str = setting(
        "",
        "title of its front page; empty: that of the only channel, or Pictures",
        pattern=r"[^\x00-\x1f\x7f]{0,200}",
        form="up to 200 characters",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinesSettings:
    """More machines that render, each a node of this project. docs/machines.md has when, and how."""

    role: str = setting(
        "all",
        "all: this machine does everything; origin: it hands over what its own workers don't get to; node: it renders"
        " for the origins of its project, and has no source of its own",
        choices=("all", "origin", "node"),
    )
    hand_over_above: int = setting(
        AUTO,
        "an origin's pictures that are kept for its own workers, the rest is handed over; auto: twice the workers",
        low=0,
        high=10**6,
        words=(AUTO,),
    )
    wire_bucket: str = setting(
        "",
        "a private bucket for originals on their way to a node; empty: storage.bucket, under names nobody can guess",
        pattern=r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?",
        form="a bucket's name, or empty",
    )
    name: str = setting(
        "",
        "what others call this machine; empty for the name of the host",
        pattern=r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})?",
        form='at most 63 letters, digits, "-", "_" and ".", or empty',
    )
    lease_seconds: float = setting(
        120.0,
        "after how long without a sign of its node a picture is given to another one",
        unit="s",
        low=1,
        high=86400,
    )
    reconcile_seconds: float = setting(
        300.0,
        "how often an origin asks whether the queue still has what it was given",
        unit="s",
        low=1,
        high=86400,
    )
    target_seconds: float = setting(
        60.0,
        "within how long all that waits should be rendered: needed workers are reckoned from it",
        unit="s",
        low=1,
        high=86400,
    )
    join: str = setting(
        "",
        "a node's: project and bucket of its origin; what is set by itself outranks it",
        read=join.is_join,
        form='what bin/run nodes --join prints at the origin after its "=", or empty',
        secret=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The log, on standard error."""

    level: str = setting("info", "least level shown", choices=("debug", "info", "warning", "error"))
    format: str = setting("auto", "auto: console on a terminal, else json", choices=("auto", "json", "console"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Picturedesk's settings. What is left out has the default that is shown here.

    Paths are absolute once loaded. `config_file` is the file that was read, None when there was none."""

    state_dir: Path = setting(Path("var"), "folder of the journal, the spool, the media and the catalogue")
    webhook: tuple[WebhookSettings, ...] = setting((), WebhookSettings.__doc__ or "", secret=True)
    telegram: TelegramSettings = TelegramSettings()
    export: ExportSettings = ExportSettings()
    images: ImagesSettings = ImagesSettings()
    pool: PoolSettings = PoolSettings()
    spool: SpoolSettings = SpoolSettings()
    storage: StorageSettings = StorageSettings()
    catalog: CatalogSettings = CatalogSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    health: HealthSettings = HealthSettings()
    notify: NotifySettings = NotifySettings()
    feeds: FeedsSettings = FeedsSettings()
    site: SiteSettings = SiteSettings()
    machines: MachinesSettings = MachinesSettings()
    log: LogSettings = LogSettings()
    config_file: Path | None = None

    def public(self) -> dict[str, Any]:
        """Everything as one flat JSON-able dict by dotted name; a secret that is set is "(set)"."""
        return {entry.name: _public(entry, lookup(self, entry)) for entry in TABLE}


def lookup(settings: Settings, entry: SettingEntry) -> Any:
    """The value that `settings` has for a row of the table."""
    return getattr(getattr(settings, entry.section) if entry.section else settings, entry.key)


def _public(entry: SettingEntry, value: Any) -> Any:
    if entry.is_tables:
        return [table.public() for table in value]
    if entry.rule.secret:
        return "(set)" if value else ""
    return str(value) if entry.kind is Path else list(value) if isinstance(value, tuple) else value


SECTIONS: dict[str, type] = {
    f.name: type(f.default) for f in dataclasses.fields(Settings) if dataclasses.is_dataclass(f.default)
}


def _entries() -> Iterator[SettingEntry]:
    for section, holder in {"": Settings, **SECTIONS}.items():
        for f in dataclasses.fields(holder):
            if "rule" in f.metadata:  # `setting` made it
                assert not isinstance(f.type, str), "types, not texts: no __future__ annotations here"
                yield SettingEntry(section, f.name, f.type, f.default, f.metadata["rule"])


TABLE: tuple[SettingEntry, ...] = tuple(_entries())
