"""Our text of counters and histograms is the library's, to the byte, in both formats."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

from gateway.observability.plain_series import Series
from gateway.observability.series_text import escaped, number
from tests.effort import tries

AT_S = 1_700_000_000.25

names = st.lists(
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,6}", fullmatch=True).filter(lambda name: name != "le"),
    min_size=1,
    max_size=4,
    unique=True,
)
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\\"\n,={}% '), max_size=6)
amounts = st.floats(min_value=0, allow_nan=False) | st.integers(0, 10**18)
observed = st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0, 1e6, 1e7])
bounds = st.lists(st.floats(min_value=0, max_value=1e18), min_size=1, max_size=6, unique=True).map(
    lambda them: tuple(sorted(them))
)


def pages(ours: Series, library: CollectorRegistry) -> None:
    """Compare the pages in both formats."""
    assert "".join(ours.text(is_openmetrics=False)) == generate_latest(library).decode()
    made = "".join(ours.text(is_openmetrics=True)) + "# EOF\n"
    assert made == openmetrics.generate_latest(library).decode()


@given(st.data(), names, texts)
@settings(max_examples=tries(600), deadline=None)
def test_a_counter_is_written_as_by_the_library(data: st.DataObject, labels: list[str], text: str) -> None:
    ours, library = Series(), CollectorRegistry()
    mine = ours.counter("x_total", text, *labels)
    theirs = Counter("gateway_x_total", text, labels, registry=library).labels
    values = st.lists(texts, min_size=len(labels), max_size=len(labels))
    for each, amount in data.draw(st.lists(st.tuples(values, amounts), max_size=6)):
        mine(*each).inc(amount)
        theirs(*each).inc(amount)
    pages(ours, library)


@given(st.data(), names, texts, bounds)
@settings(max_examples=tries(600), deadline=None)
def test_a_histogram_is_written_as_by_the_library(
    data: st.DataObject, labels: list[str], text: str, buckets: tuple[float, ...]
) -> None:
    ours, library = Series(), CollectorRegistry()
    mine = ours.histogram("x_seconds", text, *labels, buckets=buckets)
    theirs = Histogram("gateway_x_seconds", text, labels, registry=library, buckets=buckets).labels
    values = st.lists(texts, min_size=len(labels), max_size=len(labels))
    exemplars = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prometheus_client.metrics.time.time", lambda: AT_S)
        for each, value, request_id in data.draw(st.lists(st.tuples(values, observed, exemplars), max_size=8)):
            mine(*each).observe(value)
            if request_id is not None:
                mine(*each).show(request_id, value, AT_S)
            theirs(*each).observe(value, None if request_id is None else {"request_id": request_id})
    pages(ours, library)


@given(st.floats() | st.integers(-(10**20), 10**20).map(float))
@settings(max_examples=tries(2000))
def test_numbers_are_written_as_by_the_library(value: float) -> None:
    assert number(value) == floatToGoString(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -0.0, 999_999.0, 1e6, 1e16, 5e-324])
def test_odd_numbers_are_written_as_by_the_library(value: float) -> None:
    assert number(value) == floatToGoString(value)


def test_what_needs_no_escape_stays_as_it_is() -> None:
    """It is the same object, and so uses no memory beside the name in the configuration."""
    name = "tenant-1"
    assert escaped(name) is name
