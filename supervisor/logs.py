"""Logs: structlog, one line a record, JSON or for a console, with the process' name on each.

Each record has a stable id, `event`, and words for people, `text`: `supervisor.log_events` lists both.

A record is one `write` of at most PIPE_BUF bytes to standard error, so the records of several processes that share a
pipe never run into each other. What does not fit (a long traceback) is cut in front, where it matters least.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

from ipc.text.printable import printable, printable_json
from supervisor.log_events import EVENTS

PIPE_BUF = select.PIPE_BUF
LEVELS = ("debug", "info", "warning", "error")
READER_SECONDS = 1
"""How long whoever reads the log may keep a process waiting, once."""

_ROOM = 3000
"""Bytes of a record that its longest text may take; the rest is for names, time and the short fields."""


def configure(level: str, format: Literal["auto", "json", "console"] | str, process: str) -> None:
    """Set up this process' logs. "auto" is console on a terminal, else JSON."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    console = on_terminal if format == "auto" else format == "console"
    renderer = _render_console if console else _render_json

    def name_process(logger: WrappedLogger, method: str, record: EventDict) -> EventDict:
        """By whatever thread it was written: that is why this is no context variable."""
        record.setdefault("process", process)
        return record

    shared: list[Any] = [
        name_process,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _add_text,
        _shorten,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: _Line(),
        cache_logger_on_first_use=False,  # a reload may call this again
    )
    handler = _Adopt()
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def catch_uncaught() -> None:
    """From here on what nobody catches, in whatever thread, is a record like any other and no bare traceback."""

    def is_ours(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> bool:
        """Whether the log is there to take it; if not, it is shown as Python does it."""
        if structlog.is_configured() and not issubclass(kind, KeyboardInterrupt):
            return True
        sys.__excepthook__(kind, error or kind(), trace)
        return False

    def in_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if is_ours(kind, error, trace):
            log.critical("process.crashed", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        kind, error, trace = args.exc_type, args.exc_value, args.exc_traceback
        if not issubclass(kind, SystemExit) and is_ours(kind, error, trace):
            name = args.thread.name if args.thread else "unknown"
            log.critical("thread.crashed", thread=name, exc_info=(kind, error or kind(), trace))

    def ignored(args: sys.UnraisableHookArgs) -> None:
        kind, error, trace = args.exc_type, args.exc_value, args.exc_traceback
        if is_ours(kind, error, trace):
            log.critical("error.ignored", where=args.err_msg or "", exc_info=(kind, error or kind(), trace))

    log = structlog.get_logger()
    sys.excepthook = in_process
    threading.excepthook = in_thread
    sys.unraisablehook = ignored


class _Line:
    """Writes one record as one line, whole or not at all."""

    def msg(self, line: bytes) -> None:
        if _reader.is_there():
            with contextlib.suppress(OSError):  # nobody reads our logs any more: that must not stop the work
                os.write(2, line)

    debug = info = warning = error = critical = exception = msg


class _Reader:
    """Whoever reads standard error. One that has stopped reading (a pager, a terminal with Ctrl-S, a log driver that
    hangs) must not stop the work: he is waited for once, then records are left out until he reads again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left_out = 0

    def is_there(self) -> bool:
        """Whether a record can be written now; after some could not, their number is told first."""
        with self._lock:
            can_write = _can_write(0 if self._left_out else READER_SECONDS)
            if not can_write:
                self._left_out += 1
            elif self._left_out:
                text = _json({"level": "warning", **_LEFT_OUT, "records": self._left_out})
                self._left_out = 0
                with contextlib.suppress(OSError):
                    os.write(2, _line(text))
                return _can_write(0)
            return can_write


def _can_write(seconds: float) -> bool:
    """Whether standard error takes a whole record within that time; where nobody can tell, it is tried."""
    poll = select.poll()  # one for each call: a poll object is for one thread at a time
    try:
        poll.register(2, select.POLLOUT)
        return bool(poll.poll(1000 * seconds))
    except OSError:
        return True


_reader = _Reader()


class _Adopt(logging.Handler):
    """Brings the records of libraries, which use the standard library's logging, into ours."""

    def emit(self, record: logging.LogRecord) -> None:
        more = {}
        try:
            message = record.getMessage()
        except Exception as error:  # arguments that do not fit their format: no reason to fail in the library
            message = f"{_text(record.msg)} {_text(record.args)}"
            more = {"where": f"{record.pathname}:{record.lineno}", "why": f"not as its format says: {_text(error)}"}
        # structlog knows the five levels only; a library may have one in between.
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))
        log = structlog.get_logger()
        log.log(level, "library.message", text=message, logger=record.name, exc_info=record.exc_info, **more)


def _add_text(logger: WrappedLogger, method: str, record: EventDict) -> EventDict:
    """Say an event in words too, right after its id."""
    event = record.pop("event", "")
    known = EVENTS.get(event) if isinstance(event, str) else None
    text = record.pop("text", known.text if known else "")
    return {"event": event, **({"text": text} if text else {}), **record}


def _shorten(logger: WrappedLogger, method: str, record: EventDict) -> EventDict:
    """Cut long texts so that the record fits: a traceback keeps its end, any other text its beginning."""
    for key, value in record.items():
        room = _ROOM // 2 if key in ("exception", "line") else _ROOM // 4
        if isinstance(value, str) and len(data := value.encode(errors="replace")) > room:
            kept = data[-room:] if key == "exception" else data[:room]
            text = kept.decode(errors="ignore")
            record[key] = "…" + text if key == "exception" else text + "…"
    return record


def _line(text: str) -> bytes:
    return text.encode(errors="replace") + b"\n"


def _render_json(logger: WrappedLogger, method: str, record: EventDict) -> bytes:
    first = {key: record.pop(key) for key in ("timestamp", "level", "process", "event", "text") if key in record}
    data = _line(_json({**first, **record}))
    if len(data) <= PIPE_BUF:
        return data
    # At most 12 bytes a character (two of \u0000's size), so 3 × 32, 48 and 180 characters always fit.
    short = {key: _text(value)[: _CUT.get(key, 32)] for key, value in first.items()}
    return _line(_json({**short, "cut": True}))


def _json(record: Mapping[str, Any]) -> str:
    try:
        text = _ENCODER.encode(record)
    except (TypeError, ValueError, RecursionError):  # a dict with odd keys, not a number, a circle
        text = json.dumps({key: _text(value) for key, value in record.items()}, ensure_ascii=False)
    return printable_json(text)


def _render_console(logger: WrappedLogger, method: str, record: EventDict) -> bytes:
    time, level = record.pop("timestamp", "")[11:19], record.pop("level", "")
    process, event = _text(record.pop("process", "")), _text(record.pop("event", ""))
    text, exception = _text(record.pop("text", "")), record.pop("exception", None)
    fields = " ".join(f"{key}={_plain(value)}" for key, value in record.items())
    line = f"{time} {level:<7} {process:<10} {'  '.join(filter(None, (event, text, fields)))}"
    if exception:
        line += " | " + " / ".join(part.strip() for part in _text(exception).splitlines())
    data = _line(printable(line.replace("\n", " / ")))
    return data if len(data) <= PIPE_BUF else _line(data[: PIPE_BUF - 1].decode(errors="ignore"))


def _plain(value: object) -> str:
    text = _text(value)
    return repr(text) if " " in text or not text else text


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


_CUT = {"event": 48, "text": 180}
"""Characters that are kept of a record that does not fit. No listed id and no listed text is longer."""

_LEFT_OUT = {"event": "log.resumed", "text": EVENTS["log.resumed"].text}

_ENCODER = json.JSONEncoder(default=_text, ensure_ascii=False, allow_nan=False)
"""Made once: json.dumps would make one for each record."""
