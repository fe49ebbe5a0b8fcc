"""Declare every metric, and update them from events.

Label values come from the configuration or from an enum, which bounds the number of series.
"""

import itertools
from collections.abc import Callable, Iterable
from functools import partial
from typing import assert_never

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.openmetrics import exposition as openmetrics

from gateway.clock import Clock, SystemClock
from gateway.connection_limits import Refusal
from gateway.domain import Operation
from gateway.errors import ConnectFault
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
    ReplicaOvertaken,
    Settled,
    StateStoreChanged,
    TaskFailed,
    UpstreamCalled,
)
from gateway.observability.cooperative_rendering import Paced, encode_in_slices
from gateway.observability.gauges import EndpointGauges, Gauges
from gateway.observability.plain_series import Distribution, Series
from gateway.observability.process_metrics import ConfigMetrics, StoreMetrics
from gateway.observability.tenant_series import TenantSeries

# A `_created` series for each counter would double their number, and add nothing to the process's start time.
disable_created_metrics()  # type: ignore[no-untyped-call]

LATENCY_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800)
"""Bucket bounds in seconds, from a warm worker's first token to the longest cold start plus the longest answer."""
WAIT_S = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
SLOW_S = 1.0
EXEMPLAR_TURN = 16
"""Number of fast observations per exemplar: an exemplar doubles the cost of an observation, and a scrape shows only the
last one of each bucket."""
_OPENMETRICS = "application/openmetrics-text"
_EOF = b"# EOF\n"
"""Last line of a page in OpenMetrics."""
OPERATIONS_USED = (
    Operation.OPENAI,
    Operation.RUN,
    Operation.STREAM,
    Operation.STATUS,
    Operation.CANCEL,
    Operation.HEALTH,
)


class Metrics:
    """Hold the metrics: the library's in a registry, and our own, which change with every request.

    `observe` updates them from events; `render` returns them for a scrape.
    """

    def __init__(
        self,
        *,
        version: str,
        read: Callable[[], Iterable[EndpointGauges]],
        endpoints: Iterable[str] = (),
        started_at_s: float = 0.0,
        lines_dropped: Callable[[], int] = lambda: 0,
        clock: Clock | None = None,
    ) -> None:
        """Create the metrics. The series of `endpoints` start at zero, so that `rate` does not miss their first event.

        `started_at_s` is the time at which the first configuration was applied, in Unix seconds; `lines_dropped`
        returns the number of lost log lines.
        """
        self._readings = Gauges(read, lines_dropped)
        registry = self._registry = _registry_of(self._readings)
        clock = clock or SystemClock()
        self._unix_s = clock.unix_s
        series = self._series = Series()
        tenants = self._tenants = TenantSeries(clock.monotonic_s)
        counter, histogram = series.counter, partial(series.histogram, buckets=LATENCY_S)
        self._requests = tenants.counter("requests_total", "Requests by outcome.", "model", "route", "outcome")
        self._duration = histogram("request_duration_seconds", "Time from request to last byte.", "model", "route")
        self._first_chunk = histogram("first_chunk_seconds", "Time from request to first output.", "model", "route")
        self._chunks = counter("chunks_total", "Chunks sent to clients.", "model")
        self._tokens = tenants.counter(
            "tokens_total", "Tokens, as reported by the worker or estimated.", "model", "direction"
        )
        self._gpu = tenants.counter("gpu_seconds_total", "Worker time on both routes, by the GPU clock.", "endpoint")
        self._execution = tenants.counter(
            "execution_seconds_total",
            "Execution time as reported by Runpod; jobs that share a worker are each counted in full.",
            "endpoint",
        )
        self._delay = histogram("upstream_delay_seconds", "Wait in Runpod's queue.", "endpoint")
        self._wait = tenants.histogram("admission_wait_seconds", "Wait for a permit.", "endpoint", buckets=WAIT_S)
        self._refusals = tenants.counter("refusals_total", "Refused requests by reason.", "reason")
        self._client_refusals = counter("client_refusals_total", "Clients refused by the HTTP server.", "reason")
        self._calls = counter("upstream_requests_total", "Calls to Runpod.", "endpoint", "operation", "outcome")
        self._faults = counter("connect_failures_total", "Failed connection attempts.", "endpoint", "reason")
        self._cancels = counter("cancels_total", "Jobs cancelled at Runpod.", "endpoint", "outcome")
        self._saved = tenants.counter(
            "gpu_seconds_saved_total",
            "GPU seconds saved by cancelling jobs, estimated from the tenant's other requests.",
            "endpoint",
        )
        self._orphans = counter("orphans_total", "Cancelled jobs of dead gateway processes.", "endpoint")
        self._replacements = counter("replacement_characters_total", "U+FFFD characters in worker output.", "endpoint")
        self._observed = 0
        self._bugs = Counter("gateway_bugs_total", "Unexpected exceptions.", registry=registry)
        self._store = StoreMetrics(registry)
        self._config = ConfigMetrics(registry, started_at_s)
        Gauge("gateway_build_info", "Version of the gateway.", ["version"], registry=registry).labels(version).set(1)
        self._begin_all(endpoints)

    def _begin_all(self, endpoints: Iterable[str]) -> None:
        for reason in Refusal:
            self._client_refusals(reason.value)
        for endpoint in endpoints:
            self._begin(endpoint)

    def _begin(self, endpoint: str) -> None:
        self._replacements(endpoint)
        self._orphans(endpoint)
        for fault in ConnectFault:
            self._faults(endpoint, fault.value)
        for outcome in CallOutcome:
            self._cancels(endpoint, outcome.value)
            for operation in OPERATIONS_USED:
                self._calls(endpoint, operation.value, outcome.value)

    def take_readings(self) -> None:
        """Read the gates for the next scrape; to be called on the event loop, which owns them."""
        self._readings.take()
        self._tenants.take()

    def render(self, accept: str = "", pause: Callable[[], object] | None = None) -> tuple[bytes, str]:
        """Return the metrics for Prometheus and their media type: OpenMetrics, which has exemplars, if it is accepted.

        With 10 000 tenants this takes a tenth of a second, so it may run in a separate thread; `pause` is then called
        regularly to let the event loop run.
        """
        media_type = media_type_for(accept)
        is_openmetrics = media_type != CONTENT_TYPE_PLAIN_0_0_4
        encode = openmetrics.generate_latest if is_openmetrics else generate_latest
        pause = pause or _go_on
        rare = encode(Paced(self._registry, pause)).removesuffix(_EOF)
        texts = [each.text(is_openmetrics=is_openmetrics) for each in (self._series, self._tenants)]
        end = [_EOF.decode()] if is_openmetrics else []
        return encode_in_slices(rare, itertools.chain(*texts, end), pause), media_type

    def observe(self, event: Event) -> None:
        """Update the metrics from an event."""
        match event:
            case Admitted():
                self._wait(event.tenant, event.endpoint).observe(event.wait_s)
            case UpstreamCalled():
                self._calls(event.endpoint, event.operation, event.outcome).inc()
                if event.fault is not None:
                    self._faults(event.endpoint, event.fault.value).inc()
            case GpuTimeSettled():
                self._gpu(event.attempt.tenant, event.attempt.endpoint).inc(event.gpu_s or 0.0)
            case FirstChunk():
                self._observe_request(self._first_chunk(event.model, event.route), event.request_id, event.after_s)
            case Settled():
                self._settle(event)
            case JobEnded():
                self._end_job(event)
            case JobCancelled():
                self._cancel(event)
            case StateStoreChanged():
                self._store.note(is_up=event.is_up)
            case JournalChanged():
                self._store.note_journal(is_up=event.is_up)
            case RecordsUnreadable():
                self._store.unreadable.labels(event.kind.value).inc(event.count)
            case ConfigRead():
                self._config.note(event)
            case Broke() | TaskFailed():
                self._bugs.inc()
            case ClientRefused():
                self._client_refusals(event.reason.value).inc()
            case EndpointChanged() | ReplicaOvertaken():
                pass
            case _:
                assert_never(event)

    def _observe_request(self, child: Distribution, request_id: str, seconds: float) -> None:
        """Observe a time of a request; each slow one and some fast ones become exemplars, which lead to a log line."""
        child.observe(seconds)
        self._observed += 1
        if seconds >= SLOW_S or self._observed % EXEMPLAR_TURN == 0:
            child.show(request_id, seconds, self._unix_s())

    def _cancel(self, event: JobCancelled) -> None:
        tenant, endpoint = event.attempt.tenant, event.attempt.endpoint
        self._cancels(endpoint, event.outcome.value).inc()
        self._orphans(endpoint).inc(event.is_orphan)
        if event.execution_s is not None:
            self._execution(tenant, endpoint).inc(event.execution_s)
        self._saved(tenant, endpoint).inc(event.saved_s)

    def _end_job(self, event: JobEnded) -> None:
        tenant, endpoint = event.attempt.tenant, event.attempt.endpoint
        if event.execution_s is not None:
            self._execution(tenant, endpoint).inc(event.execution_s)
        if event.delay_s is not None:
            self._delay(endpoint).observe(event.delay_s)

    def _settle(self, event: Settled) -> None:
        self._requests(event.tenant, event.model, event.route, event.outcome).inc()
        self._observe_request(self._duration(event.model, event.route), event.request_id, event.duration_s)
        if event.outcome is Outcome.REFUSED:
            self._refusals(event.tenant, event.reason or "").inc()
        if event.chunks:
            self._chunks(event.model).inc(event.chunks)
        if event.usage is not None:
            self._tokens(event.tenant, event.model, "in").inc(event.usage.prompt_tokens)
            self._tokens(event.tenant, event.model, "out").inc(event.usage.completion_tokens)
        if event.replacement_characters:
            self._replacements(event.endpoint).inc(event.replacement_characters)


def _go_on() -> None:
    """Make no pause."""


def _registry_of(readings: Gauges) -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(readings)
    return registry


def media_type_for(accept: str) -> str:
    """Return the accepted one of the two media types; the older one if neither is accepted."""
    try:
        is_openmetrics = choose_encoder(accept)[1].startswith(_OPENMETRICS)
    except (ValueError, TypeError):
        # The version parameter of the media type is not a number.
        is_openmetrics = False
    return openmetrics.CONTENT_TYPE_LATEST if is_openmetrics else CONTENT_TYPE_PLAIN_0_0_4
