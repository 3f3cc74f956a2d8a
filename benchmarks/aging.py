"""What one image worker holds in memory as it grows old: RSS while it is idle, after 50 mixed jobs and after 1,000.

The worker is a real one, sealed, alone, without a tree around it. Half of its jobs are good pictures of all formats,
modes and four sizes; the other half are truncated, bit-flipped or made to do harm (`tests.chaos.hostile`), all from one
seed. RSS is read two seconds after a job: a worker that is idle for a second gives back what it can.
"""

from __future__ import annotations

import argparse

from benchmarks.common import heading, say, table, workplace
from ipc.transport.messages import JobDone
from supervisor.resources.memory import MIB
from tests.workers.aging import make_mixture, worker

FIRST = 50
"""What the others are compared with."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run aging", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    looks = {FIRST, *range(250, options.jobs, 250), options.jobs}
    rows: list[tuple[int, int, int, float]] = []
    with workplace(1800) as folder:
        heading("aging", f"One sealed image worker, {options.jobs:,} mixed jobs, seed {options.seed}.")
        (folder / "pictures").mkdir()
        pictures = make_mixture(folder / "pictures", options.seed, options.jobs)
        done = 0
        with worker(folder) as one:
            for number, picture in enumerate(pictures, 1):
                answer = one.render(picture)
                done += isinstance(answer, JobDone)
                if number in looks:
                    rows.append((number, done, answer.rss_bytes, one.idle_rss_bytes() / MIB))
                    say(f"{number} jobs: {rows[-1][3]:.1f} MiB")
    shown = [(f"{jobs:,}", str(done), f"{kept / MIB:.1f}", f"{rss:.1f}") for jobs, done, kept, rss in rows]
    table(("jobs", "of them rendered", "RSS after the job, MiB", "RSS when idle"), shown)
    print(f"After {rows[-1][0]:,} jobs {rows[-1][3] / rows[0][3]:.3f} times as much as after {FIRST}; the goal is 1.1.")


if __name__ == "__main__":
    main()
