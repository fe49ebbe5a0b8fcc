"""Our own counters and histograms, beside the library's with the same events: a scrape shows no difference."""

import itertools
import sys
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from gateway.observability.plain_series import Series
from tests.waiting import BOUND_S

BUCKETS = (0.001, 0.5, 1, 600)
AT_S = 1_700_000_000.5


def page(series: Series, *, is_openmetrics: bool = False) -> str:
    return "".join(series.text(is_openmetrics=is_openmetrics))


def series_and_library(monkeypatch: pytest.MonkeyPatch) -> tuple[Series, CollectorRegistry]:
    monkeypatch.setattr("prometheus_client.metrics.time.time", lambda: AT_S)
    ours, registry = Series(), CollectorRegistry()
    calls, wait = ours.counter("calls_total", "Calls.", "b", "a"), ours.histogram("wait", "W.", "z", buckets=BUCKETS)
    their_calls = Counter("gateway_calls_total", "Calls.", ["b", "a"], registry=registry)
    their_wait = Histogram("gateway_wait", "W.", ["z"], registry=registry, buckets=BUCKETS)
    for child in (calls, their_calls.labels):
        child("x", 'odd "name"\n').inc()
        child("y", "0")
        child("x", 'odd "name"\n').inc(2.5)
    for value in (0.0, 0.001, 0.2, 0.5, 0.6, 600, 601):
        wait("chat").observe(value)
        their_wait.labels("chat").observe(value)
    for request_id, value in (("r1", 0.2), ("r2", 700.0), ("r3", 0.3)):
        wait("chat").observe(value)
        wait("chat").show(request_id, value, AT_S)
        their_wait.labels("chat").observe(value, {"request_id": request_id})
    wait("other")
    their_wait.labels("other")
    return ours, registry


def test_the_page_is_what_the_library_makes_of_its_own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, registry = series_and_library(monkeypatch)
    assert page(ours) == generate_latest(registry).decode()
    rich = page(ours, is_openmetrics=True)
    assert rich + "# EOF\n" == openmetrics.generate_latest(registry).decode()
    assert '# {request_id="r3"} 0.3 1700000000.5' in rich


def test_a_counter_does_not_go_down() -> None:
    child = Series().counter("x_total", "X.", "a")("1")
    with pytest.raises(ValueError, match="cannot decrease"):
        child.inc(-1)
    assert child.value == 0


def test_a_scrape_in_another_thread_sees_every_series_once_and_no_count_go_back() -> None:
    series = Series()
    calls, wait = series.counter("calls_total", "C.", "a"), series.histogram("wait", "W.", "a", buckets=BUCKETS)
    ended = threading.Event()
    pages: list[dict[str, float]] = []

    def scrape() -> None:
        while not ended.is_set() or not pages:
            lines = [line.rsplit(" ", 1) for line in page(series).splitlines() if not line.startswith("#")]
            pages.append({name: float(value) for name, value in lines})
            assert len(pages[-1]) == len(lines)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        for number in range(5000):
            calls(str(number % 500)).inc()
            wait(str(number % 50)).observe(number % 3)
    finally:
        ended.set()
        thread.join(BOUND_S)
        sys.setswitchinterval(interval_s)
    for earlier, later in itertools.pairwise(pages):
        assert all(later[key] >= value for key, value in earlier.items())
    assert sum(calls(str(number)).value for number in range(500)) == 5000
