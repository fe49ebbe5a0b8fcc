"""Encode the two log lines of each request, `exchange.settled` and `attempt.settled`, as JSON without structlog.

All other lines are rare and go through structlog, as do these two on a console. A property test compares the bytes of
both ways.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.events import GpuTimeSettled, Outcome, Settled


class RequestLine(msgspec.Struct, kw_only=True, gc=False):
    """Hold the fields that begin both lines. Unknown values are None; the order is that of the line."""

    request_id: str | None

    def fields(self) -> dict[str, Any]:
        """Return the fields as structlog takes them: without those that it adds."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("event", "level", "timestamp"):
            del fields[name]
        return fields

    def encoded(self) -> str:
        """Return the line as JSON, as structlog would write it, without a line end.

        Raises:
            UnicodeEncodeError: A field contains half of a surrogate pair.
        """
        return msgspec.json.format(msgspec.json.encode(self), indent=0).decode()


class ExchangeLine(RequestLine, kw_only=True, gc=False):
    """Represent the line of an exchange that ended."""

    tenant: str | None
    key_id: str | None
    key_label: str | None
    model: str | None
    endpoint: str | None
    route: str | None
    job_id: str | None
    outcome: Outcome
    status: int
    reason: str | None
    error: str | None
    queue_s: float | None
    upstream_delay_s: float | None
    first_chunk_s: float | None
    duration_s: float | None
    tokens_in: int | None
    tokens_out: int | None
    tokens_estimated: bool | None
    gpu_s: float | None
    gpu_s_estimated: bool
    execution_s: float | None
    attempts: int
    trace_id: str | msgspec.UnsetType
    event: str = "exchange.settled"
    level: str
    timestamp: str


class AttemptLine(RequestLine, kw_only=True, gc=False):
    """Represent the line of an attempt whose GPU time is final."""

    attempt: int | None
    tenant: str
    key_id: str | None
    model: str | None
    endpoint: str
    job_id: str | None
    route: str | None
    gpu_s: float | None
    execution_s: float | None
    event: str = "attempt.settled"
    level: str = "info"
    timestamp: str


class Timestamps:
    """Write the time as structlog does, and keep the text of a second, which many lines share."""

    def __init__(self, unix_s: Callable[[], float]) -> None:
        self._unix_s = unix_s
        self._kept = (0, "1970-01-01T00:00:00")

    def now(self) -> str:
        """Return the time in UTC by ISO 8601: with microseconds, unless there are none."""
        second, microseconds = divmod(int(self._unix_s() * 1_000_000), 1_000_000)
        kept, text = self._kept
        if second != kept:
            text = datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")
            self._kept = (second, text)
        return f"{text}.{microseconds:06}Z" if microseconds else f"{text}Z"


def exchange_line(event: Settled, level: str, timestamp: str) -> ExchangeLine:
    """Return the line of an exchange."""
    usage, trace = event.usage, event.trace
    return ExchangeLine(
        request_id=event.request_id,
        tenant=event.tenant or None,
        key_id=event.key_id or None,
        key_label=event.key_label,
        model=event.model or None,
        endpoint=event.endpoint or None,
        route=event.route or None,
        job_id=event.job_id,
        outcome=event.outcome,
        status=event.status,
        reason=event.reason,
        error=event.error,
        queue_s=rounded(event.queue_s),
        upstream_delay_s=rounded(event.upstream_delay_s),
        first_chunk_s=rounded(event.first_chunk_s),
        duration_s=rounded(event.duration_s),
        tokens_in=usage.prompt_tokens if usage else None,
        tokens_out=usage.completion_tokens if usage else None,
        tokens_estimated=usage.is_estimate if usage else None,
        gpu_s=rounded(event.gpu_s),
        gpu_s_estimated=event.is_gpu_estimate,
        execution_s=rounded(event.execution_s),
        attempts=event.attempts,
        trace_id=msgspec.UNSET if trace is None else f"{trace.context.own.trace_id:032x}",
        level=level,
        timestamp=timestamp,
    )


def attempt_line(event: GpuTimeSettled, timestamp: str) -> AttemptLine:
    """Return the line of an attempt."""
    attempt = event.attempt
    return AttemptLine(
        request_id=attempt.request_id or None,
        attempt=attempt.number or None,
        tenant=attempt.tenant,
        key_id=attempt.key_id or None,
        model=attempt.model or None,
        endpoint=attempt.endpoint,
        job_id=attempt.job_id,
        route=attempt.route or None,
        gpu_s=rounded(event.gpu_s),
        execution_s=rounded(event.execution_s),
        timestamp=timestamp,
    )


def rounded(seconds: float | None) -> float | None:
    """Return a number of seconds to a tenth of a millisecond."""
    return None if seconds is None else round(seconds, 4)
