"""Write the log: one line per request, at its end, and few others. No field holds a prompt, completion, key or body."""

import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any, TextIO, assert_never

import msgspec
import structlog

from gateway.admission.lease_store import RecordKind
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
        else structlog.processors.JSONRenderer(_json)
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


def redact(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace the values of fields that must not be logged; a second safeguard, since no caller should log them."""
    for name in _REDACTED & event.keys():
        event[name] = "[redacted]"
    return event


class EventLog:
    """Log the events that operators need as lines."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self._refusals = LineLimit()
        self._unreadable: set[RecordKind] = set()
        """Kinds of unreadable records that were logged already."""

    def observe(self, event: Event) -> None:
        """Log an event, if its type has a line."""
        match event:
            case Settled():
                self._settled(event)
            case Admitted() | UpstreamCalled() | JobEnded() | FirstChunk():
                # Most events are of these kinds, so they come first.
                pass
            case JobCancelled():
                level = "info" if event.outcome in {CallOutcome.OK, CallOutcome.GONE} else "warning"
                fields = {
                    **_named(event.attempt),
                    "outcome": event.outcome.value,
                    "orphan": event.is_orphan,
                    "gpu_s": _rounded(event.gpu_s),
                    "execution_s": _rounded(event.execution_s),
                    "saved_s": _rounded(event.saved_s),
                }
                getattr(self._log, level)("job.cancelled", **fields)
            case GpuTimeSettled(attempt=attempt):
                seconds = {"gpu_s": _rounded(event.gpu_s), "execution_s": _rounded(event.execution_s)}
                self._log.info("attempt.settled", **_named(attempt), route=attempt.route or None, **seconds)
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
                fields = {"task": event.task, "error": type(error).__name__, "restart_s": _rounded(event.restart_s)}
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

    def _settled(self, event: Settled) -> None:
        usage = event.usage
        fields = {
            "request_id": event.request_id,
            "tenant": event.tenant or None,
            "key_id": event.key_id or None,
            "key_label": event.key_label,
            "model": event.model or None,
            "endpoint": event.endpoint or None,
            "route": event.route or None,
            "job_id": event.job_id,
            "outcome": event.outcome.value,
            "status": event.status,
            "reason": event.reason,
            "error": event.error,
            "queue_s": _rounded(event.queue_s),
            "upstream_delay_s": _rounded(event.upstream_delay_s),
            "first_chunk_s": _rounded(event.first_chunk_s),
            "duration_s": _rounded(event.duration_s),
            "tokens_in": usage.prompt_tokens if usage else None,
            "tokens_out": usage.completion_tokens if usage else None,
            "tokens_estimated": usage.is_estimate if usage else None,
            "gpu_s": _rounded(event.gpu_s),
            "gpu_s_estimated": event.is_gpu_estimate,
            "execution_s": _rounded(event.execution_s),
            "attempts": event.attempts,
        }
        if event.trace is not None:
            fields["trace_id"] = f"{event.trace.context.own.trace_id:032x}"
        getattr(self._log, _LEVELS.get(event.outcome, "info"))("exchange.settled", **fields)

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


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
