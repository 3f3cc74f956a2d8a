"""Pages of the view `pictures` with a million pictures in the catalogue: the first ones, and some from the middle.

In SQLite as feeds and site ask for them. Hosted the same, through PostgREST of a real stack on this machine, as
anonymous: so with row level security. Each is asked 20 times, the median counts. Near duplicates: the pictures within a
distance of 6 bits of one, as the owner of the database asks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import closing

from benchmarks.common import heading, say, table, workplace
from tests.many_rows import fill_postgres, fill_sqlite, pages
from tests.servers.rows import RowServer
from workers.publishing.catalog import Catalog, SqliteCatalog
from workers.publishing.catalog.supabase import SupabaseCatalog

TIMES = 20
WAIT_SECONDS = 1800
NEAR = "select count(*) from pictures where bit_count((phash # 1)::bit(64)) <= 6"


def times(catalog: Catalog, count: int) -> dict[str, str]:
    """Median milliseconds by the name of the page."""
    found = {}
    for name, asked in pages(count).items():
        seconds = []
        for _ in range(TIMES):
            start = time.perf_counter()
            catalog.pictures(**asked, most=50)
            seconds.append(time.perf_counter() - start)
        found[name] = f"{1000 * statistics.median(seconds):.1f}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="pictures in each catalogue")
    count = parser.parse_args().count
    heading("rows", f"Pages of 50 rows, {count:,} pictures in the catalogue.")
    with workplace(WAIT_SECONDS) as folder, RowServer() as server:
        say("filling SQLite")
        fill_sqlite(folder / "catalog.db", count)
        with closing(SqliteCatalog(folder / "catalog.db")) as embedded:
            of_sqlite = times(embedded, count)
        server.apply_schema()
        say("filling PostgreSQL")
        fill_postgres(server, count)
        with closing(SupabaseCatalog(server.url, server.keys.anon)) as hosted:
            of_hosted = times(hosted, count)
        table(
            ["A page of", "SQLite, ms", "hosted, as anonymous, ms"],
            [[name, of_sqlite[name], of_hosted[name]] for name in of_sqlite],
        )
        start = time.perf_counter()
        server.sql(NEAR)
        print(f"Near duplicates of one picture, hosted, looking at each: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
