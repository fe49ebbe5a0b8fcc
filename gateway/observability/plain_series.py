"""Keep the counters and histograms that change with every request, call or chunk.

The library's own children take a lock for each value, search the buckets one by one, and check each exemplar. These do
not, since only the event loop changes them. A scrape reads them in another thread without a lock, which is safe:

- A value is replaced as a whole, by a reference to another number, so that a reader sees the old or the new one.
- `list.copy` and `dict.copy` are single steps of the interpreter, during which no other thread runs. So no series is
  seen twice, and the buckets of a histogram are those of one moment; its count is computed from them.
- The sum of a histogram is read separately, and may have one observation more or less than its buckets. The next scrape
  shows both again. The library's histograms are read bucket by bucket and have the same deviation.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from gateway.observability.series_text import CounterText, HistogramText, escaped, exemplar_text


class Total:
    """Hold the value of a counter for one set of labels."""

    __slots__ = ("labels", "value")

    def __init__(self, labels: tuple[str, ...]) -> None:
        """Start at zero; the values of the labels are escaped."""
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
        """Start without observations; the values of the labels are escaped."""
        self._bounds = bounds
        self.labels = labels
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, str] | None = None
        """Text of the latest exemplar of each bucket that has one, by the number of the bucket; None if none has."""

    def observe(self, value: float) -> None:
        """Count one value in its bucket."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def show(self, request_id: str, value: float, at_s: float) -> None:
        """Make a request, with the value that was observed for it, the exemplar of its bucket, at a time in Unix s."""
        if self.exemplars is None:
            self.exemplars = {}
        self.exemplars[bisect_left(self._bounds, value)] = exemplar_text(request_id, value, at_s)


class Series:
    """Hold counters and histograms without a label `tenant`. They are updated on the event loop, and read anywhere."""

    def __init__(self) -> None:
        self._counters: list[tuple[CounterText, list[Total]]] = []
        self._histograms: list[tuple[HistogramText, list[Distribution]]] = []

    def counter(self, name: str, text: str, *labels: str) -> Callable[..., Total]:
        """Declare a counter; return the function that returns the child for the values of its labels."""
        totals: list[Total] = []
        self._counters.append((CounterText(f"gateway_{name}", text, labels), totals))

        def child(*values: str) -> Total:
            made = Total(escaped_labels(values))
            totals.append(made)
            return made

        # The cache is bounded, because the values come from the configuration or an enum.
        return cache(child)

    def histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Callable[..., Distribution]:
        """Declare a histogram; return the function that returns the child for the values of its labels."""
        distributions: list[Distribution] = []
        self._histograms.append((HistogramText(f"gateway_{name}", text, labels, buckets), distributions))

        def child(*values: str) -> Distribution:
            made = Distribution(escaped_labels(values), buckets)
            distributions.append(made)
            return made

        return cache(child)

    def text(self, *, is_openmetrics: bool) -> Iterator[str]:
        """Yield the text of a scrape, in pieces of a few lines."""
        for counter, totals in self._counters:
            yield from counter_text(counter, totals.copy(), is_openmetrics=is_openmetrics)
        for histogram, distributions in self._histograms:
            yield from histogram_text(histogram, distributions.copy(), is_openmetrics=is_openmetrics)


def escaped_labels(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values of labels as they are written: the same tuple, which uses no more memory, if possible."""
    written = tuple(map(escaped, values))
    return values if written == values else written


def counter_text(counter: CounterText, totals: Iterable[Total], *, is_openmetrics: bool) -> Iterator[str]:
    """Yield the text of a counter."""
    yield counter.head(is_openmetrics=is_openmetrics)
    for each in totals:
        yield counter.line(each.labels, each.value)


def histogram_text(
    histogram: HistogramText, distributions: Iterable[Distribution], *, is_openmetrics: bool
) -> Iterator[str]:
    """Yield the text of a histogram."""
    yield histogram.head(is_openmetrics=is_openmetrics)
    for each in distributions:
        exemplars = each.exemplars.copy() if is_openmetrics and each.exemplars else None
        yield histogram.lines(each.labels, each.counts.copy(), each.total, exemplars)
