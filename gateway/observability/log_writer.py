"""Writes log lines in a thread of its own, so that a pipe that is not read stops this thread and no request.

A write to a full pipe, a terminal on hold or a slow disk blocks for as long as its reader likes. It is not made
non-blocking instead: O_NONBLOCK belongs to the open file description (open(2)), which other processes share.
"""

import contextlib
import io
import os
import select
import threading
from collections.abc import Callable
from typing import Any

from gateway.observability.line_queue import LineQueue

GATHER_S = 0.01
"""How long a first line waits for others: a thread that is woken for each line costs more than the line."""
PIECE_BYTES = 64 * 1024
"""How much is written at once: what a pipe of Linux holds (pipe(7))."""
CLOSE_S_MAX = 1.0
"""How long the end of the process waits for lines that are still to be written."""
PART_CHARACTERS_MAX = 64 * 1024
"""The longest part of a line that is kept until its end comes."""


class LogWriter:
    """A bounded queue and the thread that empties it. `put` never waits for the file.

    The lock is reentrant, as Python may write a warning to stderr in the middle of any allocation.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        *,
        report_dropped: Callable[[int], None],
        queue: LineQueue | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        """`write` may block, and may fail; `report_dropped` is told of lost lines when writing works again."""
        self._write = write
        self._report_dropped = report_dropped
        self._queue = LineQueue() if queue is None else queue
        self._gather_s = gather_s
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._is_waiting = False
        self._closing = threading.Event()
        self._unwritten = 0
        self._reported = 0
        # A daemon: a thread that is blocked in a write must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)

    @property
    def dropped(self) -> int:
        """Lines that were lost since the process began: there was no room, or they could not be written."""
        return self._queue.dropped + self._unwritten

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, line: str, *, is_urgent: bool = False) -> None:
        """Queue one line, given without its end; urgent ones are kept in preference to others."""
        encoded = line.encode("utf-8", "backslashreplace") + b"\n"
        # Not `self._changed`, whose `with` takes three times as long.
        with self._lock:
            self._queue.put(encoded, is_urgent=is_urgent)
            if self._is_waiting:
                self._is_waiting = False
                self._changed.notify()

    def close(self, wait_s: float = CLOSE_S_MAX) -> bool:
        """Write what is queued and end the thread; return whether that was done within `wait_s` seconds."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while self._wait():
            self._closing.wait(self._gather_s)
            while piece := self._take():
                try:
                    self._write(b"".join(piece))
                except Exception:  # noqa: BLE001 - nobody starts this thread again, and it cannot log.
                    # A full disk, a closed pipe, no memory: these lines are lost, and the next ones may not be.
                    self._unwritten += len(piece)
                else:
                    with contextlib.suppress(Exception):
                        self._report()

    def _wait(self) -> bool:
        """Wait for a line; return False where none is left and none will come."""
        with self._changed:
            while not self._queue and not self._closing.is_set():
                self._is_waiting = True
                self._changed.wait()
            self._is_waiting = False
            return len(self._queue) > 0

    def _take(self) -> list[bytes]:
        with self._lock:
            return self._queue.take(PIECE_BYTES)

    def _report(self) -> None:
        """Say how many lines were lost, once per time of trouble: when there is room again."""
        dropped = self.dropped
        if dropped > self._reported and self._queue.is_half_empty():
            self._report_dropped(dropped - self._reported)
            self._reported = dropped


def file_writer(descriptor: int) -> Callable[[bytes], None]:
    """Return a function that writes all of its bytes to a file descriptor, however long that takes.

    It passes by Python's own buffer, whose lock would be held by a blocked thread when the process ends.
    """

    def write(data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                # Another process that shares the pipe made it non-blocking.
                writable = select.poll()
                writable.register(descriptor, select.POLLOUT)
                writable.poll()

    return write


class QueuedText(io.TextIOBase):
    """Stands in for sys.stderr: what Python itself and libraries print goes the way of log lines, as urgent ones."""

    def __init__(self, writer: LogWriter, descriptor: int) -> None:
        self._writer = writer
        self._descriptor = descriptor
        self._part = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Queue each line that is whole, and keep the rest until its end comes."""
        with self._lock:
            *lines, self._part = (self._part + text).split("\n")
            if len(self._part) > PART_CHARACTERS_MAX:
                lines.append(self._part)
                self._part = ""
        for line in lines:
            self._writer.put(line, is_urgent=True)
        return len(text)

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor beneath, which the queue does not know of."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether the descriptor beneath is a terminal."""
        with contextlib.suppress(OSError):
            return os.isatty(self._descriptor)
        return False


class QueueLogger:
    """What structlog calls with each rendered line."""

    def __init__(self, writer: LogWriter) -> None:
        self._put = writer.put

    def msg(self, line: str) -> None:
        """Queue an ordinary line."""
        self._put(line)

    def err(self, line: str) -> None:
        """Queue a line that is kept in preference to others."""
        self._put(line, is_urgent=True)

    log = debug = info = warn = warning = msg
    error = critical = fatal = failure = exception = err


def queue_loggers(writer: LogWriter) -> Callable[..., Any]:
    """Return a factory of loggers, as structlog wants it."""
    logger = QueueLogger(writer)
    return lambda *_arguments: logger
