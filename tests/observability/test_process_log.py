import asyncio
import atexit
import gc
import io
import json
import logging
import pathlib
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from gateway.observability import process_log
from gateway.observability.log_writer import LogWriter
from gateway.observability.logs import EventLog
from tests.waiting import BOUND_S


class Said:
    """A process log on a file, and what stands in the file at its end."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._stream = path.open("w")
        self._writer: LogWriter = process_log.log_in_thread("json", self._stream)

    def text(self) -> str:
        assert self._writer.close(BOUND_S)
        self._stream.close()
        return self._path.read_text()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


Begin = Callable[[], Said]


@pytest.fixture
def begin(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Log as a serving process does from the call on; the test's own process is as before in the end."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(process_log, "_writers", [])
    monkeypatch.setattr(atexit, "register", lambda _function: None)
    made: list[Said] = []

    def begin() -> Said:
        # What earlier tests left says so when it is collected, as tasks and connections that were not ended.
        gc.collect()
        made.append(Said(tmp_path / "log"))
        return made[0]

    yield begin
    for each in made:
        each.text()
    root.handlers[:] = handlers
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_lines_of_ours_and_of_libraries_go_one_way(begin: Begin) -> None:
    said = begin()
    EventLog().say("gateway.started", tenant="acme")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received, %s.", "a")
    logging.getLogger("httpx").info("not wanted")
    assert [(line["event"], line["level"]) for line in said.lines()] == [
        ("gateway.started", "info"),
        ("Invalid HTTP request received, a.", "warning"),
    ]


def test_an_exception_that_a_library_logs_has_its_frames_and_not_their_locals(begin: Begin) -> None:
    said = begin()

    def broken(prompt: str) -> None:
        raise ValueError(len(prompt))

    try:
        broken("my private question")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    (line,) = said.lines()
    assert (line["event"], line["level"], line["logger"]) == ("Exception in ASGI application", "error", "uvicorn.error")
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert "private question" not in json.dumps(line)


def test_a_task_that_nobody_awaits_is_told(begin: Begin) -> None:
    said = begin()
    loop = asyncio.new_event_loop()
    loop.call_exception_handler({"message": "Task exception was never retrieved", "exception": ValueError("x")})
    loop.close()
    (line,) = said.lines()
    assert (line["event"], line["logger"]) == ("Task exception was never retrieved", "asyncio")


def test_warnings_are_lines_too(begin: Begin) -> None:
    said = begin()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = said.lines()
    assert (line["logger"], line["level"]) == ("py.warnings", "warning")
    assert "DeprecationWarning: old" in line["event"]


def test_what_is_printed_and_the_tracebacks_of_threads_go_the_same_way(begin: Begin) -> None:
    said = begin()
    print("to stdout")
    print("to stderr", file=sys.stderr)

    # pytest puts a hook of its own there.
    threading.__excepthook__(threading.ExceptHookArgs((ValueError, ValueError("in a thread"), None, None)))
    lines = said.text().splitlines()
    assert lines[:2] == ["to stdout", "to stderr"]
    assert lines[-1] == "ValueError: in a thread"


def test_a_record_that_cannot_be_formatted_breaks_nothing(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    said = begin()
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    process_log._AsEvents().handle(logging.LogRecord("x", logging.WARNING, "x.py", 1, "%d", ("no number",), None))
    assert said.text() == ""
    assert "no number" in errors.getvalue()


def test_lost_lines_are_counted_for_the_process(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    said = begin()
    assert process_log.lines_dropped() == 0
    monkeypatch.setattr(process_log, "_writers", [types.SimpleNamespace(dropped=3)])
    assert process_log.lines_dropped() == 3
    process_log._report_dropped(3)
    (line,) = said.lines()
    assert (line["event"], line["level"], line["lines"]) == ("log.dropped", "warning", 3)
