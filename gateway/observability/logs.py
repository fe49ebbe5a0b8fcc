"""Write the log: one line per request, at its end, and few others. No field holds a prompt, completion, key or body."""

import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any, TextIO, assert_never

import msgspec
import structlog

from gateway.admission.lease_store import RecordKind
from gateway.clock import SystemClock
from gateway.connection_limits import Refusal
from gateway.domain import Attempt
from gateway.events import (
    Admitted,
    Broke,
    CallOutcome,
    ClientRefused,
    ConfigRead,
    EndpointChanged,
    Event,
    FirstChunk,
    GpuTimeSettled,
    JobCancelled,
    JobEnded,
    JournalChanged,
    Outcome,
    RecordsUnreadable,
    Reload,
    ReplicaOvertaken,
    Settled,
    StateStoreChanged,
    TaskFailed,
    UpstreamCalled,
)
from gateway.observability.log_rate_limit import LineLimit
from gateway.observability.request_lines import (
    AttemptLine,
    ExchangeLine,
    Timestamps,
    attempt_line,
    exchange_line,
    rounded,
)

_REDACTED = frozenset(
    {
        *("authorization", "api_key", "api-key", "x_api_key", "x-api-key", "key", "headers"),
        *("prompt", "messages", "completion", "content", "body", "input", "output"),
    }
)
LISTED_MAX = 100
"""Maximum number of list items in a line: log collectors cut or drop lines of more than about 16 kB."""
_LEVELS = {
    Outcome.REFUSED: "warning",
    Outcome.UPSTREAM_FAILED: "warning",
    Outcome.CUT: "warning",
    Outcome.BROKEN: "error",
}


_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
"""Tracebacks without local variables, which may hold prompts."""


def configure_logs(form: str, stream: TextIO, loggers: Callable[..., Any] | None = None) -> None:
    """Configure structlog, once per process, for the form `json`, `console`, or `auto`: console on a terminal.

    Lines go to the loggers that the factory `loggers` returns; without it to the stream, whose writes may block.
    """
    is_console = form == "console" or (form == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if is_console
        else _JSON_RENDERER
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            *([] if is_console else [_TRACEBACKS]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=loggers or structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )


def _json(line: structlog.typing.EventDict, **options: Any) -> str:
    """Encode a line as JSON with msgspec, which takes a third of the time of the standard library."""
    try:
        return msgspec.json.format(msgspec.json.encode(line, enc_hook=options["default"]), indent=0).decode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, in the text of an exception, which msgspec cannot encode.
        return json.dumps(line, **options)


_JSON_RENDERER = structlog.processors.JSONRenderer(_json)


def redact(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace the values of fields that must not be logged; a second safeguard, since no caller should log them."""
    for name in _REDACTED & event.keys():
        event[name] = "[redacted]"
    return event


class _JsonOutput:
    """Write lines of requests to the loggers that structlog is configured with, if it is to write JSON."""

    def __init__(self) -> None:
        self._processors: list[Any] = []
        self._logger: Any = None

    def write(self, line: ExchangeLine | AttemptLine) -> bool:
        """Write a line; return False if structlog has to write it, because the form is not JSON or it has no UTF-8."""
        if self._logger is None:
            # At the first line, when structlog too creates and keeps its logger.
            config = structlog.get_config()
            if config["processors"][-1] is not _JSON_RENDERER:
                return False
            self._processors, self._logger = config["processors"], config["logger_factory"]()
        if self._processors[-1] is not _JSON_RENDERER:
            # A test captures the lines, for which structlog replaces the contents of this list.
            return False
        try:
            encoded = line.encoded()
        except UnicodeEncodeError:
            return False
        getattr(self._logger, line.level)(encoded)
        return True


class EventLog:
    """Log the events that operators need as lines."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self._json = _JsonOutput()
        self._now = Timestamps(SystemClock().unix_s).now
        self._refusals = LineLimit()
        self._unreadable: set[RecordKind] = set()
        """Kinds of unreadable records that were logged already."""

    def observe(self, event: Event) -> None:
        """Log an event, if its type has a line."""
        match event:
            case Settled():
                self._write(exchange_line(event, _LEVELS.get(event.outcome, "info"), self._now()))
            case GpuTimeSettled():
                self._write(attempt_line(event, self._now()))
            case Admitted() | UpstreamCalled() | JobEnded() | FirstChunk():
                # Most events are of these kinds, so they come first.
                pass
            case JobCancelled():
                level = "info" if event.outcome in {CallOutcome.OK, CallOutcome.GONE} else "warning"
                fields = {
                    **_named(event.attempt),
                    "outcome": event.outcome.value,
                    "orphan": event.is_orphan,
                    "gpu_s": rounded(event.gpu_s),
                    "execution_s": rounded(event.execution_s),
                    "saved_s": rounded(event.saved_s),
                }
                getattr(self._log, level)("job.cancelled", **fields)
            case EndpointChanged(is_down=True):
                self._log.error("endpoint.down", endpoint=event.endpoint, error=event.reason)
            case EndpointChanged():
                self._log.info("endpoint.up", endpoint=event.endpoint)
            case StateStoreChanged(is_up=True):
                self._log.info("state_store.connected")
            case StateStoreChanged():
                self._log.error("state_store.disconnected", error=event.reason, on_outage=event.policy)
            case ReplicaOvertaken():
                self._log.error("state_store.overtaken", replica=event.replica)
            case JournalChanged(is_up=True):
                self._log.info("journal.connected")
            case JournalChanged():
                self._log.error("journal.disconnected", error=event.reason)
            case RecordsUnreadable(kind=kind):
                # Logged once: a replica that keeps writing such records would fill the log.
                if kind not in self._unreadable:
                    self._unreadable.add(kind)
                    self._log.warning("state_store.record_unreadable", kind=kind.value, count=event.count)
            case ConfigRead(outcome=Reload.TAKEN):
                self._log.info("config.reloaded", changes=_shortened(event.changes))
            case ConfigRead(outcome=Reload.UNCHANGED):
                self._log.info("config.unchanged")
            case ConfigRead():
                self._log.error("config.refused", problems=_shortened(event.problems))
            case Broke():
                self._log.error("exchange.broke", request_id=event.request_id, exc_info=event.error)
            case ClientRefused():
                self._refused(event)
            case TaskFailed(error=error):
                fields = {"task": event.task, "error": type(error).__name__, "restart_s": rounded(event.restart_s)}
                self._log.error("task.failed", **fields, exc_info=error)
            case _:
                assert_never(event)

    def _refused(self, event: ClientRefused) -> None:
        """Log at most one line per second for each reason, as every client can cause them; the metric counts all."""
        left_out = self._refusals.admit(event.reason, event.at_s)
        if left_out is not None:
            level = "warning" if event.reason in {Refusal.NO_ROOM, Refusal.EVICTED} else "info"
            ids = {"request_id": event.request_id or None, "key_id": event.key_id or None}
            getattr(self._log, level)("client.refused", reason=event.reason.value, **ids, suppressed=left_out)

    def _write(self, line: ExchangeLine | AttemptLine) -> None:
        """Write a line of a request: past structlog if the form is JSON, because that takes half as long."""
        if not self._json.write(line):
            getattr(self._log, line.level)(line.event, **line.fields())

    def say(self, event: str, *, is_warning: bool = False, **fields: Any) -> None:
        """Log one line about the process itself; ignore errors of the log, which must not make the process fail."""
        with contextlib.suppress(OSError, ValueError):
            (self._log.warning if is_warning else self._log.info)(event, **fields)

    def warn(self, event: str, **fields: Any) -> None:
        """Log one line about a fault of the process itself, at level error."""
        with contextlib.suppress(OSError, ValueError):
            self._log.error(event, **fields)


def _named(attempt: Attempt) -> dict[str, Any]:
    return {
        "request_id": attempt.request_id or None,
        "attempt": attempt.number or None,
        "tenant": attempt.tenant,
        "key_id": attempt.key_id or None,
        "model": attempt.model or None,
        "endpoint": attempt.endpoint,
        "job_id": attempt.job_id,
    }


def _shortened(texts: list[str]) -> list[str]:
    more = len(texts) - LISTED_MAX
    return texts if more <= 0 else [*texts[:LISTED_MAX], f"and {more} more"]
