"""Export traces: one span for each request and each of its phases, created when it has ended and sent to a collector.

Only this module imports OpenTelemetry, and it is only imported if traces are configured. Names and attributes follow
the semantic conventions for HTTP servers and for generative AI
(https://github.com/open-telemetry/semantic-conventions-genai); attributes outside these begin with `fairpod.`. No
attribute holds a prompt, completion or key.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import anyio.to_thread
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import __version__
from gateway.clock import Clock
from gateway.events import Event, Outcome, Settled, Trace, TraceContext
from gateway.translate.client_formats.contract import ClientFormat
from gateway.wire.request_head import header_values
from gateway.wire.traceparent import TraceParent, read_traceparent, root_flags

SPANS_MAX = 4096
"""Maximum number of spans queued for the collector; beyond it the oldest are dropped."""
BATCH_SPANS = 512
SEND_PAUSE_S = 1.0
EXPORT_S_MAX = 5.0
"""Maximum number of seconds to send one batch, including the SDK's own retries."""
CLOSE_S_MAX = 2.0
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_SCOPE = InstrumentationScope("fairpod", __version__)

Attribute = str | int | float | bool
Say = Callable[..., None]


class TraceExporter:
    """Export the traces of one process: `begin` assigns a request to a trace, `observe` exports its spans."""

    def __init__(
        self,
        *,
        endpoint: str,
        headers: Mapping[str, str],
        sample_ratio: float,
        service_name: str,
        clock: Clock,
        say: Say,
    ) -> None:
        """Create the exporter; `sample_ratio` applies to traces that begin here, otherwise the client decides."""
        self._clock = clock
        self._ids = RandomIdGenerator()
        self._sampler = TraceIdRatioBased(sample_ratio)
        self._resource = Resource.create({"service.name": service_name, "service.version": __version__})
        url = f"{endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, headers=dict(headers), timeout=EXPORT_S_MAX)
        self._processor = BatchSpanProcessor(
            _Reporting(exporter, say),
            max_queue_size=SPANS_MAX,
            schedule_delay_millis=SEND_PAUSE_S * 1000,
            max_export_batch_size=BATCH_SPANS,
        )

    def begin(
        self, client_format: ClientFormat, headers: Iterable[tuple[bytes, bytes]], elapsed_s: float
    ) -> TraceContext:
        """Return the trace context of a request: within the client's trace, or within a new one.

        `elapsed_s` is the number of seconds since the request was received.
        """
        values = header_values(headers, b"traceparent")
        # Several are ignored, because it is undefined which one is meant.
        parent = read_traceparent(values[0]) if len(values) == 1 else None
        if parent is None:
            trace_id = self._ids.generate_trace_id()
            decision = self._sampler.should_sample(None, trace_id, "").decision
            flags = root_flags(is_sampled=decision is Decision.RECORD_AND_SAMPLE)
        else:
            trace_id, flags = parent.trace_id, parent.flags
        own = TraceParent(trace_id=trace_id, span_id=self._ids.generate_span_id(), flags=flags)
        return TraceContext(
            client_format=client_format, own=own, parent=parent, received_at_s=self._clock.unix_s() - elapsed_s
        )

    def observe(self, event: Event) -> None:
        """Create the spans of an exchange that has ended, and queue them for the thread that sends them."""
        if not isinstance(event, Settled) or event.trace is None or not event.trace.context.own.is_sampled:
            return
        trace, context = event.trace, event.trace.context
        operation = context.client_format.api.operation
        own = _span_context(context.own, is_remote=False)
        # Not created by a Tracer, which would choose the span id: it was sent to Runpod before.
        whole = ReadableSpan(
            name=f"{operation} {event.model}".rstrip(),
            context=own,
            parent=None if context.parent is None else _span_context(context.parent, is_remote=True),
            resource=self._resource,
            attributes=dict(_attributes(event, operation)),
            kind=SpanKind.SERVER,
            status=_FAILED if event.status >= 500 else _UNSET,
            start_time=_ns(context, 0.0),
            end_time=_ns(context, event.duration_s),
            instrumentation_scope=_SCOPE,
        )
        for name, start_s, end_s in _parts(event, trace):
            self._processor.on_end(self._part(name, own, _ns(context, start_s), _ns(context, end_s)))
        self._processor.on_end(whole)

    def _part(self, name: str, parent: SpanContext, start_ns: int, end_ns: int) -> ReadableSpan:
        return ReadableSpan(
            name=name,
            context=SpanContext(parent.trace_id, self._ids.generate_span_id(), False, parent.trace_flags),  # noqa: FBT003 - positional.
            parent=parent,
            resource=self._resource,
            start_time=start_ns,
            end_time=end_ns,
            instrumentation_scope=_SCOPE,
        )

    async def aclose(self) -> None:
        """Send the queued spans, for at most CLOSE_S_MAX seconds; the rest is lost."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        # In a thread that is abandoned after CLOSE_S_MAX: the SDK's own timeout is 30 s, and cannot be configured.
        ending = threading.Thread(target=self._processor.shutdown, daemon=True, name="traces-closing")
        ending.start()
        ending.join(CLOSE_S_MAX)


class _Reporting(SpanExporter):
    """Pass spans to the exporter, and log once when they get lost and once when they arrive again."""

    def __init__(self, exporter: SpanExporter, say: Say) -> None:
        self._exporter = exporter
        self._say = say
        self._is_losing = False
        self._status = _LastStatus()
        # The SDK would log a line for every failed batch, with addresses and exceptions.
        theirs = logging.getLogger("opentelemetry")
        theirs.handlers, theirs.propagate = [self._status], False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch of spans."""
        self._status.value = None
        result = self._exporter.export(spans)
        is_losing = result is not SpanExportResult.SUCCESS
        if is_losing and not self._is_losing:
            self._say("traces.disconnected", status=self._status.value)
        elif self._is_losing and not is_losing:
            self._say("traces.connected")
        self._is_losing = is_losing
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()


class _LastStatus(logging.Handler):
    """Consume the SDK's log records, and keep only the HTTP status of the collector's response."""

    value: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Store the first integer among the record's arguments, which is the status."""
        found = record.args if isinstance(record.args, tuple) else ()
        self.value = next((each for each in found if isinstance(each, int)), self.value)


def _attributes(event: Settled, operation: str) -> Iterator[tuple[str, Attribute]]:
    """Yield the attributes of an exchange's span.

    For a stream that failed after its 200, the status is that of the error.
    """
    trace, usage = event.trace, event.usage
    assert trace is not None  # noqa: S101 - the caller checked it.
    known: dict[str, Attribute | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "runpod",
        "gen_ai.request.model": event.model,
        "gen_ai.request.stream": trace.is_stream,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
        "http.request.method": "POST",
        "http.route": trace.context.client_format.path,
        "http.response.status_code": event.status,
        "error.type": None if event.outcome is Outcome.COMPLETED else _error_type(event),
        "fairpod.request_id": event.request_id,
        "fairpod.tenant": event.tenant,
        "fairpod.endpoint": event.endpoint,
        "fairpod.route": event.route,
        "fairpod.job_id": event.job_id,
        "fairpod.outcome": event.outcome.value,
        "fairpod.reason": event.reason,
        "fairpod.gpu_s": event.gpu_s,
        "fairpod.tokens_estimated": usage.is_estimate if usage else None,
    }
    yield from ((name, value) for name, value in known.items() if value is not None and value != "")


def _error_type(event: Settled) -> str:
    """Return the error's name without its details, so that there are few distinct values."""
    return event.error.partition(":")[0] if event.error else event.outcome.value


def _parts(event: Settled, trace: Trace) -> Iterator[tuple[str, float, float]]:
    """Yield the phases of an exchange: name, start and end, in seconds since the request was received."""
    end_s = event.duration_s
    if trace.queued_at_s is not None:
        yield "admission wait", trace.queued_at_s, end_s if trace.turn_at_s is None else trace.turn_at_s
    if trace.sent_at_s is None or trace.turn_at_s is None:
        return
    output_at_s = end_s if event.first_chunk_s is None else event.first_chunk_s
    worker_at_s = trace.sent_at_s
    if trace.accepted_at_s is not None and event.upstream_delay_s is not None:
        # The delay was measured by Runpod's clock; the end must not be later than the output that was seen here.
        worker_at_s = min(trace.accepted_at_s + event.upstream_delay_s, output_at_s)
        yield "runpod queue", trace.accepted_at_s, worker_at_s
    if not trace.is_stream:
        yield "generate", worker_at_s, end_s
        return
    yield "first chunk", worker_at_s, output_at_s
    if event.first_chunk_s is not None:
        yield "generate", output_at_s, end_s


def _span_context(place: TraceParent, *, is_remote: bool) -> SpanContext:
    return SpanContext(place.trace_id, place.span_id, is_remote, TraceFlags(place.flags))


def _ns(context: TraceContext, after_s: float) -> int:
    return int((context.received_at_s + after_s) * 1e9)
