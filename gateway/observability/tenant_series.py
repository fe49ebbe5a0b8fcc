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
from typing import TypeVar

from gateway.observability.plain_series import Distribution, Total, counter_text, escaped_labels, histogram_text
from gateway.observability.series_text import CounterText, HistogramText

HIDDEN_AFTER_S = 3600.0
_Child = TypeVar("_Child", Total, Distribution)


class TenantTotal(Total):
    """Hold the value of a counter of a tenant, whose label comes first."""

    __slots__ = ("_tenant", "_touch")

    def __init__(self, labels: tuple[str, ...], touch: Callable[[str], None]) -> None:
        super().__init__(escaped_labels(labels))
        self._tenant = labels[0]
        self._touch = touch

    def inc(self, amount: float = 1.0) -> None:
        """Add to the value, and note that the tenant had an event.

        Raises:
            ValueError: The amount is negative.
        """
        # A call of the inherited method would double the cost.
        if amount < 0:
            raise ValueError("a counter cannot decrease")
        self.value += amount
        self._touch(self._tenant)


class TenantDistribution(Distribution):
    """Hold the buckets of a histogram of a tenant, whose label comes first."""

    __slots__ = ("_tenant", "_touch")

    def __init__(self, labels: tuple[str, ...], bounds: tuple[float, ...], touch: Callable[[str], None]) -> None:
        super().__init__(escaped_labels(labels), bounds)
        self._tenant = labels[0]
        self._touch = touch

    def observe(self, value: float) -> None:
        """Count one value in its bucket, and note that the tenant had an event."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value
        self._touch(self._tenant)


class TenantSeries:
    """Hold all metrics with a label `tenant`. They are updated on the event loop, and read in any thread."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Create it without metrics; `now_s` returns monotonic seconds."""
        self._now_s = now_s
        self._counters: list[tuple[CounterText, dict[str, list[Total]]]] = []
        self._histograms: list[tuple[HistogramText, dict[str, list[Distribution]]]] = []
        self._touched: set[str] = set()
        self._last_s: dict[str, float] = {}
        """Time in seconds of each tenant's last event, to the precision of calls of `take`; the oldest come first."""

    def counter(self, name: str, text: str, *labels: str) -> Callable[..., TenantTotal]:
        """Declare a counter; return the function that returns the child for a tenant and the other labels."""
        of_tenants: dict[str, list[Total]] = {}
        self._counters.append((CounterText(f"gateway_{name}", text, ("tenant", *labels)), of_tenants))

        def child(*values: str) -> TenantTotal:
            made = TenantTotal(values, self._touched.add)
            of_tenants.setdefault(values[0], []).append(made)
            return made

        return cache(child)

    def histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...]
    ) -> Callable[..., TenantDistribution]:
        """Declare a histogram; return the function that returns the child for a tenant and the other labels."""
        of_tenants: dict[str, list[Distribution]] = {}
        self._histograms.append((HistogramText(f"gateway_{name}", text, ("tenant", *labels), buckets), of_tenants))

        def child(*values: str) -> TenantDistribution:
            made = TenantDistribution(values, buckets, self._touched.add)
            of_tenants.setdefault(values[0], []).append(made)
            return made

        return cache(child)

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

    def text(self, *, is_openmetrics: bool) -> Iterator[str]:
        """Yield the text of a scrape in pieces of a few lines, for the tenants that had an event within an hour."""
        # `list` copies each in one step of the interpreter: see `gateway.observability.plain_series`.
        tenants = dict.fromkeys([*list(self._last_s), *list(self._touched)])
        for counter, totals in self._counters:
            yield from counter_text(counter, _of(tenants, totals), is_openmetrics=is_openmetrics)
        for histogram, distributions in self._histograms:
            yield from histogram_text(histogram, _of(tenants, distributions), is_openmetrics=is_openmetrics)


def _of(tenants: Iterable[str], children: dict[str, list[_Child]]) -> Iterator[_Child]:
    # `filter` passes over ten thousand tenants without children in a third of a millisecond; there is no pause in it.
    for tenant in filter(children.__contains__, tenants):
        yield from children[tenant].copy()
