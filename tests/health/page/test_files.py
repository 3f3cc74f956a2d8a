"""What can be fetched from state_dir: pictures of ours, originals of dead letters, and nothing else."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from health.page import files
from health.page.desk import MARKS, _shown, hour
from ipc.jobs import Rendition
from ipc.journal import lookup, pictures, transitions
from tests.health.page.asgi import TOKEN, Desk
from tests.ipc import builders
from tests.ipc.tables import sql
from tests.supervisor.stage import open_fds

MAKE = Callable[..., Desk]
SHA = "ab" + "c" * 62
FOLDER = f"ab/{SHA}"
JPEG = b"\xff\xd8\xff\xe0" + b"x" * 200_000
BEARER = {"authorization": f"Bearer {TOKEN}"}


def put(root: Path, key: str, content: bytes = b"content") -> Path:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("320.webp", "image/webp"),
        ("320.avif", "image/avif"),
        ("320-0123abcd.jpg", "image/jpeg"),
        ("preview-0123abcd.jpg", "image/jpeg"),
        ("stripped.png", "image/png"),
        ("original.gif", "image/gif"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "pictures/"])
def test_an_object_has_its_type_and_is_kept_for_ever(
    name: str, content_type: str, prefix: str, make_desk: MAKE, tmp_path: Path
) -> None:
    content = os.urandom(150_000)
    put(tmp_path / "media", f"{prefix}{FOLDER}/{name}", content)
    reply = make_desk(prefix=prefix).ask("GET", f"/media/{prefix}{FOLDER}/{name}")
    assert (reply.status, reply.body) == (200, content)
    assert reply.headers["content-type"] == content_type
    assert reply.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    head = make_desk(prefix=prefix).ask("HEAD", f"/media/{prefix}{FOLDER}/{name}")
    assert (head.body, head.headers["content-length"]) == (b"", "150000")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "journal.db",
        "../journal.db",
        "../../etc/passwd",
        "/etc/passwd",
        f"{FOLDER}/../../../journal.db",
        f"{FOLDER}/320.webp/",
        f"{FOLDER}//320.webp",
        f"./{FOLDER}/320.webp",
        f"x/{FOLDER}/320.webp",
        f"{FOLDER}/.320.webp.part",
        f"{FOLDER}/320.html",
        f"{FOLDER}/320.webp\0",
        f"{FOLDER}/320.webp\n",
        f"AB/{SHA}/320.webp",
        f"ac/{SHA}/320.webp",
        f"ab/{SHA}c/320.webp",
        f"{FOLDER}",
        f"{FOLDER}/",
        f"{FOLDER}/99.webp",
        f"{FOLDER}/link.webp",
    ],
)
def test_nothing_else_is_there(key: str, make_desk: MAKE, tmp_path: Path) -> None:
    put(tmp_path / "media", f"{FOLDER}/320.webp")
    put(tmp_path / "media", f"{FOLDER}/320.html")
    put(tmp_path / "media", f"{FOLDER}/.320.webp.part")
    assert make_desk().ask("GET", f"/media/{key}").status == 404


@pytest.mark.parametrize("where", ["file", "folder", "upper folder"])
def test_no_link_is_followed(where: str, make_desk: MAKE, tmp_path: Path) -> None:
    elsewhere, media = tmp_path / "elsewhere", tmp_path / "media"
    put(elsewhere, f"{FOLDER}/320.webp")
    link = media / {"file": f"{FOLDER}/320.webp", "folder": FOLDER, "upper folder": "ab"}[where]
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere / link.relative_to(media))
    assert (media / FOLDER / "320.webp").read_bytes()
    assert make_desk().ask("GET", f"/media/{FOLDER}/320.webp").status == 404


def test_media_itself_may_be_a_link(make_desk: MAKE, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", f"{FOLDER}/320.webp")
    (tmp_path / "media").symlink_to(tmp_path / "elsewhere")
    assert make_desk().ask("GET", f"/media/{FOLDER}/320.webp").status == 200


def test_a_fifo_and_a_folder_are_no_pictures(make_desk: MAKE, tmp_path: Path) -> None:
    (tmp_path / "media" / FOLDER / "640.webp").mkdir(parents=True)
    os.mkfifo(tmp_path / "media" / FOLDER / "320.webp")
    desk = make_desk()
    assert [desk.ask("GET", f"/media/{FOLDER}/{width}.webp").status for width in (320, 640)] == [404, 404]


def test_a_bucket_serves_its_own(make_desk: MAKE, tmp_path: Path) -> None:
    put(tmp_path / "media", f"{FOLDER}/320.webp")
    assert make_desk(backend="r2", public_url="https://x").ask("GET", f"/media/{FOLDER}/320.webp").status == 404


def test_no_descriptor_is_left_open(make_desk: MAKE, tmp_path: Path) -> None:
    put(tmp_path / "media", f"{FOLDER}/320.webp")
    os.mkfifo(tmp_path / "media" / FOLDER / "640.webp")
    desk = make_desk(TOKEN)
    originals = [bury(desk, content, number) for number, content in enumerate((JPEG, b"%PDF-1.7"), 1)]
    keys = (f"{FOLDER}/320.webp", f"{FOLDER}/640.webp", f"{FOLDER}/99.webp", "../journal.db", FOLDER)
    paths = [*(f"/media/{key}" for key in keys), *(f"/dead/{job}" for job in originals)]
    assert [desk.ask("GET", path, BEARER).status for path in paths] == [200, 404, 404, 404, 404, 200, 404]
    before = len(open_fds())
    for path in paths:
        desk.ask("GET", path, BEARER)
        desk.ask("HEAD", path, BEARER)
    assert len(open_fds()) == before


# Originals of dead letters


def bury(desk: Desk, content: bytes, message_id: int = 1, **how: str) -> int:
    """A dead letter with that original in the spool; its job's id."""
    job = builders.put(desk.journal, message_id, "fetched")
    assert transitions.bury(desk.journal, job, "it can't be read", **how)  # type: ignore[arg-type]
    put(desk.state_dir / "spool", f"{job.id}.{job.generation}/original", content)
    return job.id


def test_an_original_is_shown_in_a_sandbox_to_whoever_has_the_token(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    job = bury(desk, JPEG)
    assert desk.ask("GET", f"/dead/{job}").status == 401
    reply = desk.ask("GET", f"/dead/{job}", BEARER)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, JPEG, "image/jpeg")
    assert reply.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert reply.headers["content-disposition"] == "inline" and reply.headers["cache-control"] == "no-store"
    assert desk.ask("GET", f"/dead/{job}", desk.cookie()).status == 200


def test_without_a_token_nobody_sees_originals(make_desk: MAKE) -> None:
    desk = make_desk()
    assert desk.ask("GET", f"/dead/{bury(desk, JPEG)}").status == 403


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF"])
def test_an_original_has_the_type_of_its_bytes(kind: str, make_desk: MAKE) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    desk = make_desk(TOKEN)
    assert (
        desk.ask("GET", f"/dead/{bury(desk, buffer.getvalue())}", BEARER).headers["content-type"]
        == f"image/{kind.lower()}"
    )


@pytest.mark.parametrize("content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"", b"%PDF-1.7"])
def test_only_pictures_are_shown(content: bytes, make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    assert desk.ask("GET", f"/dead/{bury(desk, content)}", BEARER).status == 404


def test_the_original_of_a_blocked_one_is_not_shown(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    job = bury(desk, JPEG)
    assert desk.ask("GET", f"/dead/{job}", BEARER).status == 200
    with desk.journal.transaction():
        pictures.block(desk.journal, lookup.dead(desk.journal)[0].sha256 or "", 1.0)
    assert desk.ask("GET", f"/dead/{job}", BEARER).status == 404


def test_poison_large_ones_and_living_ones_are_not_shown(make_desk: MAKE, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = make_desk(TOKEN)
    poison = bury(desk, JPEG, 1, cause="poison")
    alive = builders.put(desk.journal, 2, "fetched")
    put(desk.state_dir / "spool", f"{alive.id}.1/original", JPEG)
    large = bury(desk, JPEG, 3)
    monkeypatch.setattr(files, "LARGEST_THUMBNAIL", 1000)
    for job in (poison, alive.id, large, 999, "x", "-1", "1/../2", "", "٣", "9" * 40):
        assert desk.ask("GET", f"/dead/{job}", BEARER).status == 404, job


# What the page is told


def read(desk: Desk) -> Mapping[str, Any]:
    assert desk.app._page is not None
    return desk.app._page._shown()


def test_the_newest_pictures_with_a_ladder_of_one_format(make_desk: MAKE) -> None:
    desk = make_desk()
    for number in range(1, 31):
        builders.put(desk.journal, number, "published", f"file:{number}", caption=f"secret {number}")
    shown = read(desk)["pictures"]
    assert len(shown) == 24
    assert [one["alt"] for one in shown] == [f"Picture of post {number}" for number in range(30, 6, -1)]
    assert shown[0]["src"] == "media/5h/5ha/320.webp" and shown[0]["srcset"] == "media/5h/5ha/320.webp 320w"
    assert shown[0]["post_url"] == "https://t.me/c/42/30"


def test_captions_are_shown_only_where_that_is_wanted(make_desk: MAKE) -> None:
    desk = make_desk(show_captions=True)
    builders.put(desk.journal, 1, "published", caption="A morning")
    assert read(desk)["pictures"][0]["alt"] == "A morning"


def test_pictures_of_a_bucket_come_from_its_public_address(make_desk: MAKE) -> None:
    desk = make_desk(backend="r2", public_url="https://pictures.example.org", prefix="p/")
    builders.put(desk.journal, 1, "published")
    assert read(desk)["pictures"][0]["src"] == "https://pictures.example.org/p/5h/5ha/320.webp"


def test_deleted_and_waiting_pictures_are_not_among_them(make_desk: MAKE) -> None:
    desk = make_desk()
    builders.put(desk.journal, 1, "rendered")
    assert [number for number, _ in pictures.newest_published(desk.journal, 5)] == []


def test_hidden_pictures_are_not_among_them(make_desk: MAKE) -> None:
    desk = make_desk()
    job = builders.put(desk.journal, 1, "published")
    assert len(read(desk)["pictures"]) == 1
    with desk.journal.transaction():
        transitions.hide(desk.journal, job, "operator", 1)
    assert read(desk)["pictures"] == []
    with desk.journal.transaction():
        sql(desk.journal, "UPDATE jobs SET state = 'published', shown = 0")
    assert read(desk)["pictures"] == []


def test_the_gallery_is_linked_where_there_is_one(make_desk: MAKE) -> None:
    desk = make_desk(gallery="site/", prefix="p/")
    assert read(desk)["gallery"] == ""
    front = desk.state_dir / "media" / "p" / "site" / "index.html"
    front.parent.mkdir(parents=True)
    front.touch()
    assert read(desk)["gallery"] == "site/"
    address = "https://a.org/site/index.html"
    assert read(make_desk(backend="r2", gallery=address))["gallery"] == address


def test_dead_letters_by_reason(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    for number in range(1, 31):
        bury(desk, JPEG if number % 2 else b"?", number)
    other = builders.put(desk.journal, 99, "fetched")
    transitions.bury(desk.journal, other, "another reason")
    first, second = read(desk)["dead"]
    assert (first["reason"], first["count"], len(first["letters"])) == ("it can't be read", 30, 20)
    assert (second["reason"], second["count"]) == ("another reason", 1)
    by_message = {one["message"]: one for one in first["letters"]}
    assert by_message[29]["thumbnail"] == f"dead/{by_message[29]['id']}" and by_message[30]["thumbnail"] is None
    assert by_message[29]["post_url"] == "https://t.me/c/42/29" and by_message[29]["stage"] == "fetched"


def test_a_group_has_all_of_its_letters_and_lists_the_newest(make_desk: MAKE) -> None:
    desk = make_desk(TOKEN)
    for number in range(1, 41):
        transitions.bury(desk.journal, builders.put(desk.journal, number, "fetched"), "many" if number < 26 else "few")
    for number in range(41, 101):
        transitions.bury(desk.journal, builders.put(desk.journal, number, "fetched"), f"once, {number}")
    found = read(desk)["dead"]
    assert [(one["reason"], one["count"]) for one in found[:2]] == [("many", 25), ("few", 15)]
    assert [one["message"] for one in found[0]["letters"]] == [25, 24, 23, 22]
    assert len(found) == 50 and sum(len(one["letters"]) for one in found) == 4 + 4 + 48


def test_a_journal_that_cannot_be_read_shows_nothing_and_comes_back(make_desk: MAKE) -> None:
    desk = make_desk()
    builders.put(desk.journal, 1, "published")
    path, aside = desk.state_dir / "journal.db", desk.state_dir / "aside"
    path.rename(aside)
    assert read(desk)["pictures"] == []
    aside.rename(path)
    assert len(read(desk)["pictures"]) == 1


def test_only_webp_is_offered_where_there_is_any() -> None:
    ladder = [Rendition(w, w, form, 1) for w in (1920, 640, 320) for form in ("avif", "webp")]
    assert [(one.width, one.format) for one in _shown(ladder)] == [(320, "webp"), (640, "webp")]
    assert [one.width for one in _shown([Rendition(1920, 1, "avif", 1)])] == [1920]


def test_the_ends_of_the_last_hour_are_marked_in_order() -> None:
    def end(minute: int) -> dict[str, str]:
        return {"at": f"1970-01-01T01:{minute:02d}:00Z", "what": f"ended {minute}"}

    now = 3600.0 + 59 * 60
    tree: list[dict[str, Any]] = [
        {"name": "pool", "exits": [end(5), end(50)]},
        {"name": "root"},
        {"name": "image-1", "exits": [end(7)]},
    ]
    marks = hour([], tree, now)["marks"]
    assert marks == [
        {"at": 3900.0, "what": "pool: ended 5"},
        {"at": 4020.0, "what": "image-1: ended 7"},
        {"at": 6600.0, "what": "pool: ended 50"},
    ]
    assert len(hour([], tree, now + 600)["marks"]) == 1
    reloads = [{"at": "1970-01-01T01:06:00Z", "replaced": 0}, {"at": "1970-01-01T01:08:00Z", "replaced": 2}]
    assert hour([], tree, now, reloads)["marks"][1] == {"at": 3960.0, "what": "configuration reloaded"}
    assert len(hour([], tree, now, reloads)["marks"]) == 4, "one that replaces somebody is marked by that end"
    assert len(hour([], [{"name": "pool", "exits": [end(9)] * 99}], now)["marks"]) == MARKS


@pytest.mark.parametrize("prefix", ["", "news/"])
def test_the_gallery_is_shown_with_the_pictures_beside_it(prefix: str, make_desk: MAKE, tmp_path: Path) -> None:
    """Its links are relative: ../ from /site/ is what is below the prefix."""
    media = tmp_path / "media"
    for name in ("site/index.html", "site/7/album-5.html", "site/gallery-0123abcd.css", "site/gallery-0123abcd.js"):
        put(media, f"{prefix}{name}", name.encode())
    put(media, f"{prefix}feeds/all.json", b"{}")
    put(media, f"{prefix}{FOLDER}/320.webp", b"picture")
    put(media, f"{prefix}site/secret.html")
    desk = make_desk(prefix=prefix)
    for path, content_type in {
        "/site/": "text/html; charset=utf-8",
        "/site/index.html": "text/html; charset=utf-8",
        "/site/7/album-5.html": "text/html; charset=utf-8",
        "/site/gallery-0123abcd.css": "text/css; charset=utf-8",
        "/site/gallery-0123abcd.js": "text/javascript; charset=utf-8",
        "/feeds/all.json": "application/feed+json",
        f"/{FOLDER}/320.webp": "image/webp",
        f"/media/{prefix}site/index.html": "text/html; charset=utf-8",
    }.items():
        reply = desk.ask("GET", path)
        assert (reply.status, reply.headers["content-type"]) == (200, content_type), path
        assert reply.headers["x-content-type-options"] == "nosniff"
        is_lasting = "gallery-" in path or ".webp" in path
        assert ("immutable" in reply.headers["cache-control"]) == is_lasting
    policy = desk.ask("GET", "/site/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert desk.ask("GET", "/site").headers["location"] == "site/"
    for path in ("/site/secret.html", "/site/7/", "/site/../journal.db", "/feeds/x.json", "/site/7/%2e%2e/index.html"):
        assert desk.ask("GET", path).status == 404, path
    assert make_desk(backend="r2", prefix=prefix).ask("GET", "/site/").status == 404
