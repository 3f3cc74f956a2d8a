"""How much is asked for at once: with a simulated connection, and with the rules that Telegram has for parts."""

from __future__ import annotations

import heapq

import pytest

from workers.sources.telegram.wire.files import window as pace
from workers.sources.telegram.wire.files.window import MAX_BYTES, MAX_PART_BYTES, MIN_BYTES, Window

TIMEOUT_SECONDS = 30.0


def carry(bytes_per_second: float, latency: float, files: int, size: int, at_once: int = 4) -> tuple[float, int]:
    """Fetch files over a connection of that speed, the parts one after the other: seconds, and parts timed out.

    As the real one: what was asked for and is late comes all the same, and holds up what comes after it.
    """
    it, now, free_at, late = Window(), 0.0, 0.0, 0
    waiting = [(0, size)] * files
    active: list[tuple[int, int]] = []
    flying: list[tuple[float, int, int, float]] = []
    done = 0
    while done < files:
        while waiting and len(active) + len(flying) < at_once:
            active.append(waiting.pop(0))
        while active:
            offset, left = active[0]
            part = min(it.part_bytes(offset, left), left)
            if not it.fits(part):
                break
            active.pop(0)
            it.asked(part)
            free_at = max(free_at, now) + part / bytes_per_second
            heapq.heappush(flying, (free_at + latency, offset, part, now))
        now, offset, part, asked_at = heapq.heappop(flying)
        if now - asked_at > TIMEOUT_SECONDS:
            late += 1
            it.unanswered(part, asked_at, now)
            active.append((offset, size - offset))
        else:
            it.answered(part, asked_at, now)
            if offset + part < size:
                active.insert(0, (offset + part, size - offset - part))
            else:
                done += 1
    return now, late


@pytest.mark.parametrize("bytes_per_second", [4_000, 9_000, 35_000, 200_000, 10_000_000])
def test_nothing_is_late_on_any_connection_and_it_is_full(bytes_per_second: float) -> None:
    seconds, late = carry(bytes_per_second, 0.05, files=12, size=300_000)
    assert late <= (4 if bytes_per_second < 10_000 else 0)
    ideal = 12 * 300_000 / bytes_per_second
    assert seconds < 1.2 * ideal + 1.0


def test_what_was_begun_with_large_parts_is_late_on_a_slow_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times half a megabyte, as it would be without a pace: or the test above would say nothing."""
    monkeypatch.setattr(pace, "FIRST_BYTES", MAX_BYTES)
    assert carry(30_000, 0.05, files=4, size=2_000_000)[1] >= 1


@pytest.mark.parametrize("window", [MIN_BYTES, 4 * MIN_BYTES, MAX_BYTES])
@pytest.mark.parametrize("size", [1, 65_536, 300_000, 524_288, 3_000_001])
def test_parts_are_as_telegram_allows_them(window: int, size: int) -> None:
    it, offset = Window(), 0
    it.window = window
    while offset < size:
        part = it.part_bytes(offset, size - offset)
        assert MIN_BYTES <= part <= MAX_PART_BYTES and part & (part - 1) == 0
        assert offset % part == 0, "so it crosses no megabyte"
        assert offset + part > size or part <= size - offset
        offset += part


def test_a_large_file_comes_in_large_parts_where_the_connection_allows_it() -> None:
    it = Window()
    it.window = MAX_BYTES
    assert it.part_bytes(0, 10_000_000) == MAX_PART_BYTES
    assert it.part_bytes(0, 70_000) == 2 * MIN_BYTES, "and no more is asked for than there is"


def test_one_request_is_always_allowed() -> None:
    it = Window()
    for _ in range(20):
        it.asked(MIN_BYTES)
        it.unanswered(MIN_BYTES, 0.0, 30.0)
    assert it.window == MIN_BYTES and it.in_flight == 0 and it.fits(MAX_PART_BYTES)


def test_many_that_were_late_together_halve_it_once() -> None:
    it = Window()
    it.window = MAX_BYTES
    for _ in range(8):
        it.asked(MIN_BYTES)
    for _ in range(8):
        it.answered(MIN_BYTES, 0.0, 5.0)
    assert it.window == MAX_BYTES // 2
