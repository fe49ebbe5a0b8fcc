"""Export gauges of the endpoints' state at the time of a scrape."""

from collections.abc import Callable, Iterable, Iterator

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

WORKER_STATES = frozenset({"idle", "initializing", "ready", "running", "throttled", "unhealthy"})
"""Worker states that Runpod's live service reports: others are ignored, so that a response cannot add label values."""


class EndpointGauges(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the state of one endpoint at this moment."""

    endpoint: str
    tickets: dict[str, int]
    permits: dict[str, int]
    fair_seats: dict[str, float]
    """Seats that each active tenant is entitled to."""
    share_ratios: dict[str, float]
    """Ratio of recently received service to the fair share, by tenant."""
    budget_used: dict[str, float]
    """Used fraction of each operation's window."""
    cancels_pending: int
    """Number of jobs to be cancelled that are not yet confirmed to have ended."""
    is_down: bool
    """True while requests are rejected because the endpoint failed repeatedly."""
    workers: dict[str, int] = {}
    """Number of workers by state, from the last response of /health."""
    idle_gpu_s: float | None = None
    """Worker seconds that no request used; None if another replica, or another entry of the endpoint, counts them."""


class Gauges(Collector):
    """Collect gauges that are read for each scrape, and cost nothing in between."""

    def __init__(self, read: Callable[[], Iterable[EndpointGauges]], lines_dropped: Callable[[], int]) -> None:
        self._read = read
        self._lines_dropped = lines_dropped
        self._taken: list[EndpointGauges] = []

    def take(self) -> None:
        """Read the state of all endpoints."""
        self._taken = list(self._read())

    def collect(self) -> Iterator[Metric]:
        """Yield the last readings as metric families."""
        by_tenant = ["tenant", "endpoint"]
        queued = GaugeMetricFamily(
            "gateway_queued_requests", "Number of requests waiting for a permit.", labels=by_tenant
        )
        inflight = GaugeMetricFamily(
            "gateway_inflight_requests", "Number of requests holding a permit.", labels=by_tenant
        )
        shares = GaugeMetricFamily("gateway_share_ratio", "Ratio of recent service to fair share.", labels=by_tenant)
        fair = GaugeMetricFamily(
            "gateway_fair_seats", "Fair share of the seats among the active tenants, by weight.", labels=by_tenant
        )
        budgets = GaugeMetricFamily(
            "gateway_upstream_budget_used_ratio", "Used fraction of a call budget.", labels=["endpoint", "operation"]
        )
        pending = GaugeMetricFamily(
            "gateway_cancels_pending", "Number of jobs whose cancellation is not confirmed yet.", labels=["endpoint"]
        )
        down = GaugeMetricFamily(
            "gateway_endpoint_down",
            "1 if the endpoint failed repeatedly and is temporarily excluded, else 0.",
            labels=["endpoint"],
        )
        workers = GaugeMetricFamily(
            "gateway_workers",
            "Number of workers by state, from Runpod's last /health; idle and ready ones may be scaled down.",
            labels=["endpoint", "state"],
        )
        idle = CounterMetricFamily(
            "gateway_gpu_idle_seconds", "Time of running workers that was not used by any request.", labels=["endpoint"]
        )
        dropped = CounterMetricFamily(
            "gateway_log_lines_dropped",
            "Number of log lines that were lost because they could not be written, or not in time.",
        )
        dropped.add_metric([], self._lines_dropped())
        for reading in self._taken:
            for state, count in reading.workers.items():
                if state in WORKER_STATES:
                    workers.add_metric([reading.endpoint, state], count)
            if reading.idle_gpu_s is not None:
                idle.add_metric([reading.endpoint], reading.idle_gpu_s)
            pending.add_metric([reading.endpoint], reading.cancels_pending)
            down.add_metric([reading.endpoint], reading.is_down)
            for tenant, count in reading.tickets.items():
                queued.add_metric([tenant, reading.endpoint], count)
            for tenant, count in reading.permits.items():
                inflight.add_metric([tenant, reading.endpoint], count)
            for tenant, seats in reading.fair_seats.items():
                fair.add_metric([tenant, reading.endpoint], seats)
            for tenant, ratio in reading.share_ratios.items():
                shares.add_metric([tenant, reading.endpoint], ratio)
            for operation, used in reading.budget_used.items():
                budgets.add_metric([reading.endpoint, operation], used)
        yield from (queued, inflight, fair, shares, budgets, pending, down, workers, idle, dropped)
