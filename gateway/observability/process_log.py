"""Send everything that a serving process logs through one queue and one thread to stderr.

The gateway's own lines, those of uvicorn, asyncio and other libraries, warnings, and the tracebacks that Python prints.
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
    """Return the number of lines of this process that were lost."""
    return sum(writer.dropped for writer in _writers)


def log_in_thread(form: str, stream: TextIO | None = None) -> LogWriter:
    """Send all that the process says through one writer from now on; it is closed when the process ends.

    `form` is `json`, `console` or `auto`. Standard output is included: nothing reads it while a gateway serves, and a
    pipe there blocks as well as any other.
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
    """Turn log records of libraries into lines of structlog: warnings and worse, by the root logger's default."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        try:
            write = getattr(structlog.get_logger(), level)
            write(record.getMessage().rstrip(), logger=record.name, exc_info=exc_info)
        except Exception:  # noqa: BLE001 - as each handler of the library does: a log line must not break its caller.
            self.handleError(record)
