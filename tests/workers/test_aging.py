"""An image worker that has done many jobs holds no more than one that has done a few."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import lengths
from tests.lengths import seed_of_the_run
from tests.workers.aging import make_mixture, worker

FIRST, LAST = 50, 1000


@pytest.mark.skipif(not lengths.is_long, reason="a thousand pictures take five minutes: bin/test --long")
def test_memory_does_not_grow_with_the_number_of_jobs(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    pictures = make_mixture(tmp_path / "pictures", seed_of_the_run(), LAST)
    with worker(tmp_path) as one:
        for picture in pictures[:FIRST]:
            one.render(picture)
        young = one.idle_rss_bytes()
        for picture in pictures[FIRST:]:
            one.render(picture)
        assert one.idle_rss_bytes() < 1.1 * young
