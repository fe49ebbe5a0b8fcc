"""Send everything that a serving process logs through one queue and one thread to stderr.

This covers the gateway's own lines, those of uvicorn, asyncio and other libraries, warnings, and Python's tracebacks.
"""

import atexit
import logging
import sys
from typing import TextIO

import structlog

from gateway.observability.log_writer import LogWriter, QueuedText, file_writer, queue_loggers
from gateway.observability.logs import configure_logs

_writers: list[LogWriter] = []


def lines_dropped() -> int:
    """Return the number of log lines that this process has lost."""
    return sum(writer.dropped for writer in _writers)


def log_in_thread(form: str, stream: TextIO | None = None) -> LogWriter:
    """Send all output of the process through one writer from now on; return it. It is closed when the process exits.

    `form` is `json`, `console` or `auto`. Standard output is included, because a write to a pipe there can block too.
    """
    stream = sys.stderr if stream is None else stream
    stream.flush()
    sys.stdout.flush()
    descriptor = stream.fileno()
    writer = LogWriter(file_writer(descriptor), report_dropped=_report_dropped)
    configure_logs(form, stream, queue_loggers(writer))
    logging.getLogger().addHandler(_AsEvents())
    logging.captureWarnings(capture=True)
    sys.stderr = sys.stdout = QueuedText(writer, descriptor)
    _writers.append(writer)
    writer.start()
    atexit.register(writer.close)
    return writer


def _report_dropped(count: int) -> None:
    structlog.get_logger().warning("log.dropped", lines=count)


class _AsEvents(logging.Handler):
    """Convert log records of libraries to structlog lines: level warning and above, the root logger's default."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record with structlog."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        try:
            write = getattr(structlog.get_logger(), level)
            write(record.getMessage().rstrip(), logger=record.name, exc_info=exc_info)
        except Exception:  # noqa: BLE001 - as all handlers of `logging` do: a log line must not fail its caller.
            self.handleError(record)
