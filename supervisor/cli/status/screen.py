"""`status` on a terminal: verdict, problems, tree, flow, services, channels. The home of rich.

Every text of others goes through `words.safe` and becomes a `Text`: rich reads no markup in those, so no name can steer
the terminal. A line that is too long is cut at the terminal's width.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from supervisor.child import lazy_import

lazy_import.admit("rich")  # left out of every process of the tree: structlog would load it

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult  # noqa: E402
from rich.live import Live  # noqa: E402
from rich.padding import Padding  # noqa: E402
from rich.progress_bar import ProgressBar  # noqa: E402
from rich.segment import Segment  # noqa: E402
from rich.styled import Styled  # noqa: E402
from rich.table import Table  # noqa: E402
from rich.text import Text  # noqa: E402

from supervisor.cli.status import words  # noqa: E402
from supervisor.cli.status.watch import WatchView  # noqa: E402
from supervisor.cli.status.words import Body, safe  # noqa: E402
from supervisor.cli.terminal import mebibytes  # noqa: E402

WIDE, MIDDLE = 130, 100
"""Columns from which there is room for peaks, last ends and more of a channel; and for pids."""

MOST_CHANNELS = 40
"""How many channels are shown: an instance may read thousands."""

MOST_PROBLEMS = 20

OF_ONESELF = ("COLUMNS", "LINES")
"""Variables that would keep rich from seeing that the terminal has another size now."""


def new_console(**more: Any) -> Console:
    """A console on standard output, which follows the variables NO_COLOR and TERM. `more` are options of rich's."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_ONESELF}
    given = {"markup": False, "emoji": False, "highlight": False, "force_terminal": True, "_environ": environment}
    return Console(**{**given, **more})


def print_once(body: Body) -> None:
    """Print the status and leave the cursor below it."""
    console = new_console()
    view = WatchView(dict(body), time.time())
    console.print(page(view, time.time(), console.width, MOST_CHANNELS, MOST_PROBLEMS))


class Screen:
    """A display of the whole terminal, which has its former content back afterwards."""

    def __init__(self) -> None:
        self._console = new_console()
        self._live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def size(self) -> tuple[int, int]:
        size = self._console.size
        return size.width, size.height

    def show(self, view: WatchView, now: float) -> None:
        width, height = self.size()
        # No more is made than there is room for.
        problems, channels = max(1, height // 6), min(MOST_CHANNELS, height)
        shown = page(view, now, width, channels, problems)
        self._live.update(Cropped(Styled(shown, "dim") if view.silence else shown), refresh=True)


class Cropped:
    """The content, cut to the lines that the terminal has. The last line says how many are left out."""

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        lines = console.render_lines(self._content, options.update(height=None), pad=False)
        left_out = len(lines) - (height - 1) if len(lines) > height else 0
        for line in lines[: height - 1] if left_out else lines:
            yield from line
            yield Segment.line()
        if left_out:
            yield Text(
                f"… {left_out} more lines: in a larger terminal, or by bin/run status",
                style="dim",
                no_wrap=True,
                overflow="ellipsis",
                end="",
            )


def page(view: WatchView, now: float, width: int, channels: int, problems: int) -> Group:
    """Everything that is shown, with at most `channels` channels and `problems` problems. `now` is in Unix seconds."""
    return Group(*_sections(view, now, width, channels, problems))


def _sections(view: WatchView, now: float, width: int, channels: int, problems: int) -> Iterator[RenderableType]:
    """The sections from top to bottom. Times are those of the answer: what is old does not grow older."""
    body, then = view.body, now if not view.silence else view.received_at
    if view.silence:
        yield _silence(view, now)
        yield Text(f"The last answer was: {words.verdict(body)}")
    else:
        yield _verdict(body, then)
    yield from _problems(body["problems"], then, problems)
    yield Text()
    yield _tree(body["tree"], then, width)
    yield from (_line("sandbox", text) for text in words.sandboxes(body["tree"]))
    yield Text()
    yield from _flow(body["stats"])
    yield _services([*words.services(body["stats"], then), *words.outputs(body), *words.machines(body)])
    error = body["stats"].get("last_error")
    if error and not any(error in one["what"] for one in body["problems"]):
        yield _line("last error", safe(error))
    if body["channels"]:
        yield Text()
        yield from _channels(body["channels"], then, width, channels)


def _silence(view: WatchView, now: float) -> RenderableType:
    since = words.since_unix(view.received_at, now)
    return Text(f"NO ANSWER {since}: {safe(view.silence)}", style="bold red")


def _verdict(body: Body, now: float) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, justify="right", style="dim", overflow="ellipsis")
    started = words.ago(body["stats"].get("started_at"), now)
    line.add_row(
        Text(words.verdict(body), style="bold green" if body["ok"] else "bold red"),
        Text(f"started {started}" if started else ""),
    )
    return line


def _problems(problems: list[Mapping[str, Any]], now: float, most: int) -> Iterator[RenderableType]:
    for one in problems[:most]:
        what = Text.assemble((f"! {safe(one['what'], 1000)}", "bold"), f"  {words.since(one['since'], now)}")
        yield Padding(what, (0, 0, 0, 2))
        yield Padding(Text(safe(one["remedy"], 1000)), (0, 0, 0, 4))
    if (more := len(problems) - most) > 0:
        yield Padding(Text(f"… {more} more problems, by bin/run status --json", style="dim"), (0, 0, 0, 2))


def _table(width: int, *columns: str, widest: int = 4) -> Table:
    """A table with these headers; after a ">" it is aligned to the right.

    The last column takes what room is left; a cell that is too long is cut. The first
    one takes a `widest`-th of the width at most.
    """
    gap = 2 if width >= WIDE else 1
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim", expand=True)
    for one in columns:
        name = one.removeprefix(">")
        table.add_column(
            name,
            justify="left" if name == one else "right",
            no_wrap=True,
            overflow="ellipsis",
            max_width=max(12, width // 4),
        )
    table.columns[0].max_width = max(12, width // widest)
    table.columns[-1].ratio = 1
    return table


def _tree(rows: Iterable[Mapping[str, Any]], now: float, width: int) -> RenderableType:
    is_wide = width >= WIDE
    more = [">peak", "last seen", "last end"] if is_wide else []
    pid = [">pid"] if width >= MIDDLE else []
    table = _table(width, "process", "state", *pid, ">up", "memory", "", ">restarts", "", *more)
    for row in rows:
        cells: list[RenderableType] = [
            Text(_indent(row["name"]) + safe(row["name"])),
            Text(safe(row["state"]), style="" if "pid" in row else "bold red"),
            *([Text(str(row.get("pid", "-")))] if pid else []),
            Text(words.span(row["uptime_seconds"]) if "uptime_seconds" in row else "-"),
            _bar(row, 24 if is_wide else 8),
            Text(words.memory(row)),
            Text(str(row["restarts"]), style="yellow" if row["restarts"] else ""),
            Text(words.doing(row)),
        ]
        if is_wide:
            seen = row.get("last_seen_seconds")
            cells += [
                Text(mebibytes(row.get("peak_rss_bytes"))),
                Text("-" if seen is None else f"{words.span(seen)} ago"),
                Text(words.last_end(row, now)),
            ]
        table.add_row(*cells)
    return table


def _indent(name: str) -> str:
    """Image workers belong to the pool, all others to the root."""
    return "" if name == "root" else "    " if name.startswith("image-") else "  "


def _bar(row: Mapping[str, Any], width: int) -> RenderableType:
    """The memory against the cap."""
    used, cap = row.get("rss_bytes"), row.get("cap_bytes")
    if not used or not cap:
        return Text()
    colour = "red" if used > 0.8 * cap else "yellow" if used > 0.6 * cap else "green"
    return ProgressBar(total=cap, completed=min(used, cap), width=width, complete_style=colour, finished_style=colour)


def _line(name: str, text: str) -> RenderableType:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=10, no_wrap=True, style="dim")
    line.add_column()
    line.add_row(Text(name), Text(text))
    return line


def _flow(stats: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield _line("pictures", "  ".join(words.flow(stats)))
    yield _line("pace", "; ".join(words.pace(stats)))


def _services(found: Iterable[tuple[str, str, bool]]) -> RenderableType:
    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(width=10, no_wrap=True, style="dim")
    lines.add_column()
    for name, text, is_well in found:
        lines.add_row(Text(name), Text(text, style="" if is_well else "bold red"))
    return lines


def _channels(channels: list[Mapping[str, Any]], now: float, width: int, most: int) -> Iterator[RenderableType]:
    more = [">pictures", "last published", ""] if width >= WIDE else [""]
    table = _table(width, "channel", ">behind", ">complete", "last post", *more, widest=3)
    shown = words.by_need(channels)[:most]
    for one in shown:
        cells = [
            Text(words.channel_name(one)),
            Text(words.lag(one)),
            Text(words.complete(one)),
            Text(words.ago(one.get("last_post_at"), now) or "-"),
        ]
        note = Text(safe(one.get("problem") or words.backfill(one)), style="bold red" if one.get("problem") else "")
        if width >= WIDE:
            published = words.ago(one.get("last_published_at"), now) or "-"
            cells += [Text(words.count(one.get("pictures"))), Text(published)]
        table.add_row(*cells, note)
    yield table
    if (left := len(channels) - len(shown)) > 0:
        yield Text(f"… {left:,} more channels: bin/run status | less shows all of them", style="dim")
