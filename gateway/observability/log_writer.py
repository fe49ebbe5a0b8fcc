"""Write log lines in a separate thread, so that a pipe that is not read blocks this thread and no request.

A write to a full pipe, a suspended terminal or a slow disk blocks for an unbounded time. Non-blocking writes are no
alternative: O_NONBLOCK applies to the open file description (open(2)), which other processes share.
"""

import contextlib
import io
import os
import select
import threading
from collections.abc import Callable
from typing import Any

from gateway.observability.log_queue import LineQueue

GATHER_S = 0.01
"""Seconds that a first line waits for others: to wake the thread for each line costs more than the line."""
PIECE_BYTES = 64 * 1024
"""Maximum number of bytes per write: the capacity of a pipe on Linux (pipe(7))."""
CLOSE_S_MAX = 1.0
"""Maximum number of seconds that the end of the process waits for lines to be written."""
PART_CHARACTERS_MAX = 64 * 1024
"""Maximum number of characters of an incomplete line that are kept until its end arrives."""


class LogWriter:
    """Hold a bounded queue and the thread that writes its lines. `put` never waits for the file.

    The lock is reentrant, because Python may write a warning to stderr during any allocation.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        *,
        report_dropped: Callable[[int], None],
        queue: LineQueue | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        """Create the writer; `write` may block or raise.

        `report_dropped` receives the number of lost lines once writing works again.
        """
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
        """Return the number of lines lost since the process began: for lack of room, or because a write failed."""
        return self._queue.dropped + self._unwritten

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, line: str, *, is_urgent: bool = False) -> None:
        """Queue one line, given without a line end; urgent lines displace ordinary ones if the queue is full."""
        encoded = line.encode("utf-8", "backslashreplace") + b"\n"
        # `with self._changed` takes three times as long.
        with self._lock:
            self._queue.put(encoded, is_urgent=is_urgent)
            if self._is_waiting:
                self._is_waiting = False
                self._changed.notify()

    def close(self, wait_s: float = CLOSE_S_MAX) -> bool:
        """Write the queued lines and end the thread; return True if that was done within `wait_s` seconds."""
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
                except Exception:  # noqa: BLE001 - this thread is not restarted, and it cannot log.
                    # A full disk, a closed pipe, no memory: these lines are lost, but later writes may work.
                    self._unwritten += len(piece)
                else:
                    with contextlib.suppress(Exception):
                        self._report()

    def _wait(self) -> bool:
        """Wait for a line; return False if none is left and the writer is closing."""
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
        """Report the number of lost lines, once the queue is half empty again."""
        dropped = self.dropped
        if dropped > self._reported and self._queue.is_half_empty():
            self._report_dropped(dropped - self._reported)
            self._reported = dropped


def file_writer(descriptor: int) -> Callable[[bytes], None]:
    """Return a function that writes all given bytes to a file descriptor, and blocks until that is done.

    It bypasses Python's own buffer, whose lock a blocked thread would still hold when the process ends.
    """

    def write(data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                # Another process that shares the pipe has set O_NONBLOCK.
                writable = select.poll()
                writable.register(descriptor, select.POLLOUT)
                writable.poll()

    return write


class QueuedText(io.TextIOBase):
    """Replace sys.stderr and sys.stdout: queue what Python and libraries print as urgent log lines."""

    def __init__(self, writer: LogWriter, descriptor: int) -> None:
        self._writer = writer
        self._descriptor = descriptor
        self._part = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Queue each complete line, and keep the rest until its end arrives."""
        with self._lock:
            *lines, self._part = (self._part + text).split("\n")
            if len(self._part) > PART_CHARACTERS_MAX:
                lines.append(self._part)
                self._part = ""
        for line in lines:
            self._writer.put(line, is_urgent=True)
        return len(text)

    def writable(self) -> bool:
        """Return True: the stream is writable."""
        return True

    def fileno(self) -> int:
        """Return the underlying file descriptor; a write to it bypasses the queue."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return True if the underlying file descriptor is a terminal."""
        with contextlib.suppress(OSError):
            return os.isatty(self._descriptor)
        return False


class QueueLogger:
    """Queue each line that structlog rendered."""

    def __init__(self, writer: LogWriter) -> None:
        self._put = writer.put

    def msg(self, line: str) -> None:
        """Queue an ordinary line."""
        self._put(line)

    def err(self, line: str) -> None:
        """Queue an urgent line."""
        self._put(line, is_urgent=True)

    log = debug = info = warn = warning = msg
    error = critical = fatal = failure = exception = err


def queue_loggers(writer: LogWriter) -> Callable[..., Any]:
    """Return a logger factory for structlog."""
    logger = QueueLogger(writer)
    return lambda *_arguments: logger
