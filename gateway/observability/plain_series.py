"""Keep the counters and histograms that change with every request, call or chunk.

The library's own children take a lock for each value, search the buckets one by one, and check each exemplar. These do
not, since only the event loop changes them. A scrape reads them in another thread without a lock, which is safe:

- A value is replaced as a whole, by a reference to another number, so that a reader sees the old or the new one.
- `list.copy` is one step of the interpreter, during which no other thread runs; so no series is seen twice or changes
  the list while it is read, and the buckets of a histogram are those of one moment. Its count is computed from them.
- The sum of a histogram is read separately, and may have one observation more or less than its buckets. The next scrape
  shows both again. The library's histograms are read bucket by bucket and have the same deviation.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Total:
    """Hold the value of a counter for one set of labels."""

    __slots__ = ("labels", "value")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add to the value.

        Raises:
            ValueError: The amount is negative.
        """
        if amount < 0:
            raise ValueError("a counter cannot decrease")
        self.value += amount


class Distribution:
    """Hold the buckets of a histogram for one set of labels."""

    __slots__ = ("_bounds", "counts", "exemplars", "labels", "total")

    def __init__(self, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.labels = labels
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] | None = None
        """Latest exemplar of each bucket that has one, by the number of the bucket; None if none has."""

    def observe(self, value: float) -> None:
        """Count one value in its bucket."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def show(self, request_id: str, value: float, at_s: float) -> None:
        """Make a request, with the value that was observed for it, the exemplar of its bucket, at a time in Unix s."""
        if self.exemplars is None:
            self.exemplars = {}
        self.exemplars[bisect_left(self._bounds, value)] = Exemplar({"request_id": request_id}, value, at_s)


class Counters:
    """Describe a counter with labels, and convert its totals to samples."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._head = (name, text)
        self._labels = labels

    def family(self, totals: Iterable[Total]) -> Metric:
        """Return the metric family of these totals."""
        family = CounterMetricFamily(*self._head, labels=self._labels)
        for each in totals:
            family.add_metric(each.labels, each.value)
        return family


class Histograms:
    """Describe a histogram with labels, and convert its distributions to samples."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._head = (name, text)
        self._labels = labels
        self._names = [*(repr(float(bound)) for bound in bounds), "+Inf"]

    def family(self, distributions: Iterable[Distribution]) -> Metric:
        """Return the metric family of these distributions."""
        family = HistogramMetricFamily(*self._head, labels=self._labels)
        for each in distributions:
            exemplars = each.exemplars or {}
            counts = enumerate(zip(self._names, accumulate(each.counts.copy()), strict=True))
            buckets = [(name, count, exemplars.get(number)) for number, (name, count) in counts]
            family.add_metric(each.labels, buckets, each.total)  # type: ignore[arg-type]  # None is no exemplar.
        return family


class Series(Collector):
    """Hold counters and histograms without a label `tenant`. They are updated on the event loop, and read anywhere."""

    def __init__(self) -> None:
        self._counters: list[tuple[Counters, list[Total]]] = []
        self._histograms: list[tuple[Histograms, list[Distribution]]] = []

    def counter(self, name: str, text: str, *labels: str) -> Callable[..., Total]:
        """Declare a counter; return the function that returns the child for the values of its labels."""
        totals: list[Total] = []
        self._counters.append((Counters(f"gateway_{name}", text, labels), totals))

        def child(*values: str) -> Total:
            made = Total(values)
            totals.append(made)
            return made

        # The cache is bounded, because the values come from the configuration or an enum.
        return cache(child)

    def histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Callable[..., Distribution]:
        """Declare a histogram; return the function that returns the child for the values of its labels."""
        distributions: list[Distribution] = []
        self._histograms.append((Histograms(f"gateway_{name}", text, labels, buckets), distributions))

        def child(*values: str) -> Distribution:
            made = Distribution(values, buckets)
            distributions.append(made)
            return made

        return cache(child)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        for counter, totals in self._counters:
            yield counter.family(totals.copy())
        for histogram, distributions in self._histograms:
            yield histogram.family(distributions.copy())
