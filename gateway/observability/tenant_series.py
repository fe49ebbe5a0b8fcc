"""Keep counters and histograms by tenant, and omit those of tenants without an event for an hour from the scrape.

The cost of a scrape then depends on the active tenants instead of all that were ever seen. The values stay in memory,
so that the counters of a returning tenant continue: Prometheus takes a counter that decreased for a restart.

A series that is missing from a scrape is stale to Prometheus: an instant query no longer finds it. `increase` and
`rate` over a window that begins before the silence see the old and the new value, and lose nothing. Over a shorter
window they miss the event that ends the silence, as they miss the first event of any new series.
https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness

The library's own metrics cannot hide children without losing their values (`remove`), so the values are kept here.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

HIDDEN_AFTER_S = 3600.0


class Total:
    """Hold the value of a counter for one set of labels."""

    __slots__ = ("_tenant", "_touch", "value")

    def __init__(self, tenant: str, touch: Callable[[str], None]) -> None:
        self._tenant = tenant
        self._touch = touch
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add to the value.

        Raises:
            ValueError: The amount is negative.
        """
        if amount < 0:
            raise ValueError("a counter cannot decrease")
        self.value += amount
        self._touch(self._tenant)


class Distribution:
    """Hold the buckets of a histogram for one set of labels."""

    __slots__ = ("_bounds", "_tenant", "_touch", "counts", "total")

    def __init__(self, tenant: str, touch: Callable[[str], None], bounds: tuple[float, ...]) -> None:
        self._tenant = tenant
        self._touch = touch
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value in its bucket."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value
        self._touch(self._tenant)


class _Counters:
    """Hold the totals of one metric, by tenant and further labels."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], touch: Callable[[str], None]) -> None:
        self._head = (name, text)
        self._labels = ("tenant", *labels)
        self._touch = touch
        self._of_tenants: dict[str, dict[tuple[str, ...], Total]] = {}

    def child(self, tenant: str, *rest: str) -> Total:
        made = self._of_tenants.setdefault(tenant, {})[rest] = Total(tenant, self._touch)
        return made

    def family(self, tenants: Iterable[str]) -> Metric:
        name, text = self._head
        family = CounterMetricFamily(name, text, labels=self._labels)
        for tenant in tenants:
            # `dict.copy` is atomic: this runs in another thread, while the event loop may add entries.
            for rest, total in self._of_tenants.get(tenant, {}).copy().items():
                family.add_metric([tenant, *rest], total.value)
        return family


class _Histograms:
    """Hold the distributions of one metric, by tenant and further labels."""

    def __init__(
        self, name: str, text: str, labels: tuple[str, ...], touch: Callable[[str], None], bounds: tuple[float, ...]
    ) -> None:
        self._head = (name, text)
        self._labels = ("tenant", *labels)
        self._touch = touch
        self._bounds = bounds
        self._names = [*(repr(float(bound)) for bound in bounds), "+Inf"]
        self._of_tenants: dict[str, dict[tuple[str, ...], Distribution]] = {}

    def child(self, tenant: str, *rest: str) -> Distribution:
        made = self._of_tenants.setdefault(tenant, {})[rest] = Distribution(tenant, self._touch, self._bounds)
        return made

    def family(self, tenants: Iterable[str]) -> Metric:
        name, text = self._head
        family = HistogramMetricFamily(name, text, labels=self._labels)
        for tenant in tenants:
            for rest, each in self._of_tenants.get(tenant, {}).copy().items():
                buckets = list(zip(self._names, accumulate(each.counts), strict=True))
                family.add_metric([tenant, *rest], buckets, each.total)
        return family


class TenantSeries(Collector):
    """Hold all metrics with a label `tenant`. They are updated on the event loop, and collected in any thread."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Create the collector; `now_s` returns monotonic seconds."""
        self._now_s = now_s
        self._metrics: list[_Counters | _Histograms] = []
        self._touched: set[str] = set()
        self._last_s: dict[str, float] = {}
        """Time in seconds of each tenant's last event, to the precision of calls of `take`; the oldest come first."""

    def counter(self, name: str, text: str, *labels: str) -> Callable[..., Total]:
        """Declare a counter; return the function that returns the child for a tenant and the other labels."""
        made = _Counters(f"gateway_{name}", text, labels, self._touched.add)
        self._metrics.append(made)
        return cache(made.child)

    def histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Callable[..., Distribution]:
        """Declare a histogram; return the function that returns the child for a tenant and the other labels."""
        made = _Histograms(f"gateway_{name}", text, labels, self._touched.add, buckets)
        self._metrics.append(made)
        return cache(made.child)

    def take(self) -> None:
        """Update the times of last events, and hide tenants without an event for an hour. Runs on the event loop."""
        now_s = self._now_s()
        for tenant in self._touched:
            self._last_s.pop(tenant, None)
            self._last_s[tenant] = now_s
        self._touched.clear()
        while self._last_s:
            tenant = next(iter(self._last_s))
            if now_s - self._last_s[tenant] < HIDDEN_AFTER_S:
                break
            del self._last_s[tenant]

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families, with the series of tenants that had an event within the last hour."""
        # `list` copies each atomically: see _Counters.family.
        tenants = dict.fromkeys([*list(self._last_s), *list(self._touched)])
        for metric in self._metrics:
            yield metric.family(tenants)
