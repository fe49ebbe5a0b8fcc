"""Write counters and histograms in the two text formats of Prometheus, as prometheus_client would. Pure.

The library builds a dict for each line, and sorts and escapes its labels; these templates are made once for each
metric. A property test compares the text with the library's. The formats:
https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import itemgetter

from prometheus_client.utils import floatToGoString

_PLAIN_MAX = 1e6
"""Numbers from here on are written with an exponent, as Go does."""


class CounterText:
    """Write a counter with labels."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        """Prepare the templates; the name ends in `_total`, and there is at least one label."""
        self._name = name
        self._text = text
        self._in_order, names = _sorted(labels)
        self._line = name + "{" + ",".join(f'{each}="%s"' for each in names) + "} %s\n"

    def head(self, *, is_openmetrics: bool) -> str:
        """Return the lines that describe the metric."""
        name = self._name.removesuffix("_total") if is_openmetrics else self._name
        return _head(name, self._text, "counter", is_openmetrics=is_openmetrics)

    def line(self, labels: tuple[str, ...], value: float) -> str:
        """Return the line for the escaped values of the labels."""
        return self._line % (*self._in_order(labels), number(value))


class HistogramText:
    """Write a histogram with labels."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        """Prepare the templates. The bounds increase from zero or more; there is at least one label."""
        self._name = name
        self._text = text
        self._in_order, names = _sorted(labels)
        # The label `le` has its place in the alphabet, too.
        self._before_count = sum(each < "le" for each in names)
        self._before = name + "_bucket{" + "".join(f'{each}="%s",' for each in names if each < "le") + 'le="'
        self._after = '"' + "".join(f',{each}="%s"' for each in names if each > "le") + "} "
        pairs = ",".join(f'{each}="%s"' for each in names)
        self._end = f"{name}_count{{{pairs}}} %s\n{name}_sum{{{pairs}}} %s\n"
        self._bounds = [*map(floatToGoString, bounds), "+Inf"]

    def head(self, *, is_openmetrics: bool) -> str:
        """Return the lines that describe the metric."""
        return _head(self._name, self._text, "histogram", is_openmetrics=is_openmetrics)

    def lines(
        self, labels: tuple[str, ...], counts: Sequence[int], total: float, exemplars: dict[int, str] | None = None
    ) -> str:
        """Return all lines for the escaped values of the labels: buckets, count and sum.

        `exemplars` are texts by the number of their bucket; only OpenMetrics has them.
        """
        values = self._in_order(labels)
        before, after = self._before % values[: self._before_count], self._after % values[self._before_count :]
        sums = list(accumulate(counts))
        written = [f"{each}.0" for each in sums] if sums[-1] < _PLAIN_MAX else [number(float(each)) for each in sums]
        lines = [f"{before}{bound}{after}{each}\n" for bound, each in zip(self._bounds, written, strict=True)]
        for bucket, exemplar in (exemplars or {}).items():
            lines[bucket] = f"{lines[bucket][:-1]}{exemplar}\n"
        lines.append(self._end % (*values, written[-1], *values, number(total)))
        return "".join(lines)


def exemplar_text(request_id: str, value: float, at_s: float) -> str:
    """Return what follows the count of a bucket, to show one of its observations, made at a time in Unix seconds."""
    return f' # {{request_id="{escaped(request_id)}"}} {number(value)} {at_s}'


def escaped(value: str) -> str:
    """Return the value of a label as it is written between quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """Return a number as the library writes it."""
    if 0 <= value < _PLAIN_MAX:
        return repr(value)
    written: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return written


def _sorted(labels: tuple[str, ...]) -> tuple[Callable[[tuple[str, ...]], tuple[str, ...]], list[str]]:
    """Return the names of the labels in alphabetical order, and the function that puts their values in this order."""
    names = sorted(labels)
    if names == list(labels):
        return tuple, names
    return itemgetter(*map(labels.index, names)), names


def _head(name: str, text: str, kind: str, *, is_openmetrics: bool) -> str:
    described = escaped(text) if is_openmetrics else text.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {described}\n# TYPE {name} {kind}\n"
