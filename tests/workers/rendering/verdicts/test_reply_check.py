"""What passes for an image worker's answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc.jobs import Appearance
from ipc.transport.messages import JobDone, JobFailed, decode, encode
from tests.workers.desk import RECIPE
from workers.rendering.verdicts.reply_check import is_sound

DONE = JobDone(
    1, 1, 5_000_000, "image/jpeg", "jpg", 640, 400, [[320, 200, "webp", 999], [320, 200, "avif", 99]], recipe=RECIPE
)
LOOKS = [bytes(25), "#0a1b2c", bytes(8), False, 1, False]
FAILED = JobFailed(1, 1, 5_000_000, "bad", "truncated: œ")

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "answer",
    [
        *(
            DONE,
            replace(DONE, renditions=[]),
            replace(DONE, mime="image/png", extension="png"),
            replace(DONE, fallbacks=1, fallback_reason="SVT-AV1: œ"),
        ),
        replace(DONE, renditions=[[320, 200, "avif", 99], [640, 400, "webp", 9], [640, 400, "avif", 99]]),
        replace(DONE, renditions=[[640, 400, "webp", 9], [640, 400, "jpeg", 9]], preview_bytes=99),
        replace(DONE, appearance=LOOKS),
        replace(DONE, appearance=Appearance(bytes(5), "#ffffff", 2**64 - 1, True, 9, True).packed()),
        *(FAILED, replace(FAILED, reason=""), replace(FAILED, verdict="broken", codec="WebP encoder")),
    ],
)
def test_real_answers_pass_also_over_the_wire(answer: JobDone | JobFailed) -> None:
    arrived = decode(encode(answer))
    assert isinstance(arrived, JobDone | JobFailed)
    assert is_sound(arrived)


@pytest.mark.parametrize(
    "fields",
    [
        {"extension": "jpg/../../x"},
        {"extension": ""},
        {"extension": "jpg\n"},
        {"extension": None},
        {"mime": "text/html"},
        {"mime": "image/png"},
        {"mime": "image/svg+xml", "extension": "svg"},
        {"mime": "", "extension": "html"},
        {"mime": "image/jpeg\r\nX: y"},
        {"mime": 5},
        {"width": "640"},
        {"width": -1},
        {"width": True},
        {"height": 2**63},
        {"height": 1.5},
        {"rss_bytes": None},
        {"renditions": None},
        {"renditions": "webp"},
        {"renditions": [[320, 200, "webp", 9], [320, 100, "webp", 9]]},
        {"renditions": [[0, 200, "webp", 9]]},
        {"renditions": [320]},
        {"renditions": [[320, 200, "webp"]]},
        {"renditions": [[320, 200, "webp", 1, 1]]},
        {"renditions": [[320, 200, "webp/../../x", 1]]},
        {"renditions": [[320, 200, ["webp"], 1]]},
        {"renditions": [["../320", 200, "webp", 1]]},
        {"renditions": [[320, 200, "webp", 2**63]]},
        {"renditions": [[320, 200, "webp", 1], None]},
        {"renditions": [[320, 200, "webp", 1], [320, 100, "webp", 2]]},
        {"fallbacks": -1},
        {"fallbacks": 7},
        {"fallbacks": None},
        {"fallback_reason": 5},
        {"recipe": ""},
        {"recipe": None},
        {"recipe": 0xA1B2C3D4},
        {"recipe": b"0a1b2c3d"},
        {"recipe": "0a1b2c3"},
        {"recipe": "0a1b2c3d4"},
        {"recipe": "0A1B2C3D"},
        {"recipe": "0a1b2c3d\n"},
        {"recipe": "../../0a"},
        {"recipe": "٠a1b2c3d"},
        {"renditions": [[320, 200, "jpg", 9]]},
        {"preview_bytes": -1},
        {"preview_bytes": None},
        {"preview_bytes": 2**63},
        {"appearance": None},
        {"appearance": LOOKS[:5]},
        {"appearance": [*LOOKS, 1]},
        {"appearance": [bytes(41), *LOOKS[1:]]},
        {"appearance": [b"", *LOOKS[1:]]},
        {"appearance": ["thumb", *LOOKS[1:]]},
        {"appearance": [LOOKS[0], "#0A1B2C", *LOOKS[2:]]},
        {"appearance": [LOOKS[0], "#0a1b2c\n", *LOOKS[2:]]},
        {"appearance": [LOOKS[0], "red;}", *LOOKS[2:]]},
        {"appearance": [LOOKS[0], None, *LOOKS[2:]]},
        {"appearance": [*LOOKS[:2], bytes(9), *LOOKS[3:]]},
        {"appearance": [*LOOKS[:2], 5, *LOOKS[3:]]},
        {"appearance": [*LOOKS[:3], 1, 1, False]},
        {"appearance": [*LOOKS[:4], 0, False]},
        {"appearance": [*LOOKS[:4], True, False]},
        {"appearance": [*LOOKS[:4], 2**63, False]},
        {"appearance": [*LOOKS[:4], 1, True]},
        {"appearance": [*LOOKS[:4], 2, None]},
    ],
    ids=repr,
)
def test_nonsense_is_refused(fields: dict[str, Any]) -> None:
    assert not is_sound(replace(DONE, **fields))


@pytest.mark.parametrize(
    "fields",
    [{"reason": 5}, {"verdict": None}, {"verdict": ["bad"]}, {"rss_bytes": "much"}, {"codec": 5}, {"codec": "x\n"}],
)
def test_a_failure_in_nonsense_is_refused(fields: dict[str, Any]) -> None:
    assert not is_sound(replace(FAILED, **fields))


@given(st.lists(anything, min_size=6, max_size=6))
def test_whatever_is_said_is_judged(fields: list[Any]) -> None:
    mime, extension, width, height, rss_bytes, renditions = fields
    is_sound(replace(DONE, appearance=fields, preview_bytes=width))
    is_sound(replace(DONE, appearance=renditions))
    is_sound(JobDone(1, 1, rss_bytes, mime, extension, width, height, renditions))
    is_sound(JobFailed(1, 1, rss_bytes, mime, extension))
