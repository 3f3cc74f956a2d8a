"""Whether a document is a feed: by the schema of RFC 4287, and by the description of JSON Feed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
from lxml import etree

HERE = Path(__file__).parent
ATOM = {"a": "http://www.w3.org/2005/Atom"}

_RELAX_NG = etree.RelaxNG(etree.parse(HERE / "atom.rng"))
_JSON_SCHEMA = json.loads((HERE / "json_feed.schema.json").read_text(encoding="utf-8"))
jsonschema.Draft202012Validator.check_schema(_JSON_SCHEMA)

RULES = (
    "a:author or not(a:entry[not(a:author)])",
    "not(a:entry[not(a:link[@rel='alternate'] or a:link[not(@rel)] or a:content)])",
    "a:id and a:link[@rel='self'] and count(a:link[@rel='alternate' and @type='text/html']) <= 1",
    "not(a:entry[count(a:link[@rel='alternate' and @type='text/html']) > 1])",
)
"""What the schema's own Schematron rules say, and what the text asks for besides."""


def atom(document: bytes) -> Any:
    """The feed's root element. Fails the test if it is not valid."""
    tree = etree.ElementTree(etree.fromstring(document))
    _RELAX_NG.assertValid(tree)
    for rule in RULES:
        assert tree.xpath(f"boolean(/a:feed[{rule}])", namespaces=ATOM), rule
    ids = texts(tree.getroot(), "a:entry/a:id")
    assert len(ids) == len(set(ids))
    return tree.getroot()


def texts(root: Any, path: str) -> list[str]:
    """The texts of the elements or attributes there."""
    return [one if isinstance(one, str) else one.text or "" for one in root.xpath(path, namespaces=ATOM)]


def json_feed(document: bytes) -> dict[str, Any]:
    """The feed. Fails the test if it is not valid."""
    feed: dict[str, Any] = json.loads(document)
    jsonschema.validate(feed, _JSON_SCHEMA, jsonschema.Draft202012Validator)
    ids = [item["id"] for item in feed["items"]]
    assert len(ids) == len(set(ids))
    return feed
