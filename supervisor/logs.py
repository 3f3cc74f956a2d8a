"""The log: one line a record, JSON or for a console, with the name of the process.

Each record has a stable id, `event`, and words for people, `text`: `supervisor.log_events` lists both.

A record is one `write` of at most PIPE_BUF bytes to standard error, so processes that share a pipe never mix their
records. A traceback that does not fit loses its beginning, any other text its end.
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
READER_SECONDS = 1
"""How long a process waits, once, for a reader of the log that has stopped reading."""

_LONG_FIELD_BYTES = 3000
"""For the long fields of a record together; the rest of PIPE_BUF is for names, time and short fields."""


def configure(level: str, format: Literal["auto", "json", "console"] | str, process: str) -> None:
    """Set up the log of this process. "auto" is console on a terminal, else JSON."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    console = on_terminal if format == "auto" else format == "console"
    renderer = _render_console if console else _render_json

    def name_process(logger: WrappedLogger, method: str, record: EventDict) -> EventDict:
        # Not a context variable: that would name the process in one thread only.
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
    logging.basicConfig(handlers=[_LibraryRecords()], level=logging.WARNING, force=True)


def catch_uncaught() -> None:
    """Log uncaught errors, of every thread, instead of writing bare tracebacks to standard error."""

    def is_ours(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> bool:
        """Whether the log takes this error. If not, show it as Python does."""
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
    """The logger under structlog: writes one record as one line, whole or not at all."""

    def msg(self, line: bytes) -> None:
        if _reader.is_there():
            with contextlib.suppress(OSError):  # a reader that is gone must not stop the work
                os.write(2, line)

    debug = info = warning = error = critical = exception = msg


class _Reader:
    """The reader of standard error: a terminal, a pager, a log driver.

    A reader that has stopped reading (Ctrl-S, a driver that hangs) must not stop the work: a process waits for it once,
    then leaves records out until it reads again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left_out = 0

    def is_there(self) -> bool:
        """Whether a record can be written now. Writes first how many were left out, if any were."""
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
    """Whether standard error takes a whole record within that time. True where poll cannot tell."""
    poll = select.poll()  # one for each call: a poll object is for one thread at a time
    try:
        poll.register(2, select.POLLOUT)
        return bool(poll.poll(1000 * seconds))
    except OSError:
        return True


_reader = _Reader()


class _LibraryRecords(logging.Handler):
    """Writes the records of libraries, which use the standard library's logging, as records of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        flaw = {}
        try:
            text = record.getMessage()
        except Exception as error:  # arguments that do not fit their format must not raise in the library
            text = f"{_text(record.msg)} {_text(record.args)}"
            flaw = {"where": f"{record.pathname}:{record.lineno}", "why": f"not as its format says: {_text(error)}"}
        # structlog knows five levels; a library may use one in between.
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))
        log = structlog.get_logger()
        log.log(level, "library.message", text=text, logger=record.name, exc_info=record.exc_info, **flaw)


def _add_text(logger: WrappedLogger, method: str, record: EventDict) -> EventDict:
    """Put the words for people right after the id of the event."""
    event = record.pop("event", "")
    known = EVENTS.get(event) if isinstance(event, str) else None
    text = record.pop("text", known.text if known else "")
    return {"event": event, **({"text": text} if text else {}), **record}


def _shorten(logger: WrappedLogger, method: str, record: EventDict) -> EventDict:
    """Cut long fields so that the record fits: a traceback keeps its end, any other text its beginning."""
    for key, value in record.items():
        limit = _LONG_FIELD_BYTES // (2 if key in ("exception", "line") else 4)
        if isinstance(value, str) and len(data := value.encode(errors="replace")) > limit:
            kept = data[-limit:] if key == "exception" else data[:limit]
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
    except (TypeError, ValueError, RecursionError):  # a dict with odd keys, NaN, a circle
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
"""Made once: json.dumps would make an encoder for each record."""
