"""How many threads each picture gets: pure."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from workers.rendering.dispatch.threads import share


@given(st.integers(0, 4), st.integers(0, 8), st.integers(1, 16), st.lists(st.integers(1, 4), max_size=3))
@example(1, 3, 16, [3])
@example(1, 8, 4, [1, 1])
def test_no_processor_has_more_to_do_than_with_a_thread_for_each_picture(
    jobs: int, idle: int, processors: int, in_hand: list[int]
) -> None:
    jobs = min(jobs, idle)
    given = share(jobs, idle=idle, processors=processors, in_hand=in_hand)
    workers = idle + len(in_hand)
    assert len(given) == jobs
    assert all(threads >= 1 for threads in given)
    assert max(given, default=0) - min(given, default=0) <= 1, "evenly"
    if sum(given) > jobs:
        assert sum(given) + sum(in_hand) <= min(workers, processors)
    if jobs == idle:
        assert given == [1] * jobs, "nobody is idle"
