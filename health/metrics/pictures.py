"""Families of the work on pictures, out of the journal. While it can't be read they have no samples: a zero would pass
for a counter that began anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from health.metrics.family import Distribution, Family, Sample
from health.snapshot import Figures, Snapshot
from ipc.journal.statistics import Histogram

WAITING = ("seen", "fetched", "rendered")


def _of_figures(
    samples: Callable[[Figures], Iterable[Sample | Distribution]],
) -> Callable[[Snapshot], Iterable[Sample | Distribution]]:
    return lambda snapshot: samples(snapshot.figures) if snapshot.figures else ()


def _finished(figures: Figures) -> Iterator[Sample]:
    yield Sample(figures.totals.get("processed", 0), ("published",))
    yield Sample(figures.totals.get("failed", 0), ("dead",))


def _total(name: str) -> Callable[[Figures], Iterator[Sample]]:
    return lambda figures: iter([Sample(figures.totals.get(name, 0))])


def _queue(figures: Figures) -> Iterator[Sample]:
    for state in WAITING:
        yield Sample(figures.states.get(state, 0), (state,))


def _dead(figures: Figures) -> Iterator[Sample]:
    yield Sample(figures.states.get("dead", 0))


def _put_off(figures: Figures) -> Iterator[Sample]:
    yield Sample(figures.waiting_for_retry)


def _workable(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.figures:
        yield Sample(snapshot.figures.workable(snapshot.report("connection")))


def _oldest(figures: Figures) -> Iterator[Sample]:
    yield Sample(figures.oldest_waiting_seconds)


def _distribution(histogram: Histogram, *labels: str) -> Distribution:
    bounds = (*histogram.bounds, float("inf"))
    buckets = tuple(zip(bounds, accumulate(histogram.counts), strict=True))
    return Distribution(buckets, histogram.sum, labels)


def _post_to_row(figures: Figures) -> Iterator[Distribution]:
    yield _distribution(figures.post_to_row)


def _stages(figures: Figures) -> Iterator[Distribution]:
    for stage, histogram in figures.stages.items():
        yield _distribution(histogram, stage)


def _outcomes(figures: Figures) -> Iterator[Sample]:
    for labels, count in figures.outcomes.items():
        yield Sample(count, labels)


def _takedowns(figures: Figures) -> Iterator[Sample]:
    for step in ("marked", "waiting", "leaving"):
        yield Sample(figures.takedowns.get(step, 0), (step,))


def _purges(figures: Figures) -> Iterator[Sample]:
    yield Sample(figures.takedowns.get("purging", 0))


def _restarts(figures: Figures) -> Iterator[Sample]:
    for labels, count in figures.restarts.items():
        yield Sample(count, labels)


FAMILIES = (
    Family(
        "picturedesk_pictures_total",
        "counter",
        "Pictures that were published, or became dead letters, over all restarts",
        _of_figures(_finished),
        ("outcome",),
    ),
    Family(
        "picturedesk_retries_total",
        "counter",
        "Attempts after the first one of a picture, over all restarts",
        _of_figures(_total("retried")),
    ),
    Family(
        "picturedesk_encoder_fallbacks_total",
        "counter",
        "Renditions made by the second-best encoder or left out, since one failed, over all restarts",
        _of_figures(_total("encoder_fallbacks")),
    ),
    Family(
        "picturedesk_queue_pictures",
        "gauge",
        "Pictures that are neither published nor dead, by state",
        _of_figures(_queue),
        ("state",),
    ),
    Family(
        "picturedesk_retry_pictures",
        "gauge",
        "Pictures of the queue that wait for their next attempt",
        _of_figures(_put_off),
    ),
    Family(
        "picturedesk_workable_pictures",
        "gauge",
        "Pictures of the queue that could be worked on now: neither their next attempt nor their channel is waited for",
        _workable,
    ),
    Family("picturedesk_dead_pictures", "gauge", "Pictures that are dead letters now", _of_figures(_dead)),
    Family(
        "picturedesk_taken_down_total",
        "counter",
        "Pictures whose objects were deleted after their posts, over all restarts",
        _of_figures(_total("taken_down")),
    ),
    Family(
        "picturedesk_takedown_pictures",
        "gauge",
        "Pictures of deleted or hidden posts, whose objects are about to go, by step",
        _of_figures(_takedowns),
        ("step",),
    ),
    Family(
        "picturedesk_purge_addresses",
        "gauge",
        "Addresses of deleted objects, whose copies the CDN has still to forget",
        _of_figures(_purges),
    ),
    Family(
        "picturedesk_oldest_waiting_seconds",
        "gauge",
        "Age of the picture that has been in the queue longest; 0 while none waits",
        _of_figures(_oldest),
    ),
    Family(
        "picturedesk_post_to_row_seconds",
        "histogram",
        "From the posting of a live post to its row. Backfill, exports and edits are not in it",
        _of_figures(_post_to_row),
    ),
    Family(
        "picturedesk_stage_seconds",
        "histogram",
        "From when a process took a picture to the success of the stage: fetch, render, store or write",
        _of_figures(_stages),
        ("stage",),
    ),
    Family(
        "picturedesk_stage_outcomes_total",
        "counter",
        "How often the work of a stage on a picture ended in this way, over all restarts",
        _of_figures(_outcomes),
        ("stage", "outcome"),
    ),
    Family(
        "picturedesk_child_restarts_total",
        "counter",
        "Ends of the child's processes, by cause, over all restarts. `asked` are those that were wanted",
        _of_figures(_restarts),
        ("child", "cause"),
    ),
)
