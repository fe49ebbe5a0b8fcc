import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from gateway.observability.tenant_series import HIDDEN_AFTER_S, TenantSeries

BUCKETS = (0.001, 0.5, 1, 600)


class Series:
    """A counter and a histogram by tenant, at a time that the test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.tenants = TenantSeries(lambda: self.now_s)
        self.requests = self.tenants.counter("requests_total", "Requests.", "model")
        self.wait = self.tenants.histogram("wait_seconds", "Waits.", "endpoint", buckets=BUCKETS)

    def lines(self) -> list[str]:
        return [line for line in self.page().splitlines() if not line.startswith("#")]

    def page(self, *, is_openmetrics: bool = False) -> str:
        return "".join(self.tenants.text(is_openmetrics=is_openmetrics))

    def shown(self) -> set[str]:
        """The tenants in a scrape."""
        self.tenants.take()
        return {line.split('tenant="')[1].split('"')[0] for line in self.lines()}


def test_the_page_is_what_the_library_makes_of_its_own_metrics() -> None:
    ours = Series()
    registry = CollectorRegistry()
    requests = Counter("gateway_requests_total", "Requests.", ["tenant", "model"], registry=registry)
    wait = Histogram("gateway_wait_seconds", "Waits.", ["tenant", "endpoint"], registry=registry, buckets=BUCKETS)
    for made in (ours.requests, requests.labels):
        made("b", "m").inc()
        made("a", 'odd "name"\n').inc(2.5)
        made("b", "m").inc(0)
    for each in (ours.wait, wait.labels):
        for value in (0.0, 0.001, 0.2, 0.5, 0.6, 600, 601):
            each("b", "chat").observe(value)
    assert sorted(ours.page().splitlines()) == sorted(generate_latest(registry).decode().splitlines())
    made_openmetrics = ours.page(is_openmetrics=True) + "# EOF\n"
    assert sorted(made_openmetrics.splitlines()) == sorted(openmetrics.generate_latest(registry).decode().splitlines())


def test_a_counter_does_not_go_down() -> None:
    child = Series().requests("a", "m")
    with pytest.raises(ValueError, match="cannot decrease"):
        child.inc(-1)
    assert child.value == 0


def test_a_tenant_without_events_for_an_hour_is_left_out_and_comes_back_where_it_was() -> None:
    series = Series()
    series.requests("quiet", "m").inc(41)
    series.wait("quiet", "chat").observe(1)
    series.requests("busy", "m").inc()
    assert series.shown() == {"quiet", "busy"}
    series.now_s += HIDDEN_AFTER_S - 1
    series.requests("busy", "m").inc()
    assert series.shown() == {"quiet", "busy"}
    series.now_s += 1
    assert series.shown() == {"busy"}
    series.now_s += HIDDEN_AFTER_S
    assert series.shown() == set()
    series.requests("quiet", "m").inc()
    assert series.shown() == {"quiet"}
    lines = series.lines()
    assert 'gateway_requests_total{model="m",tenant="quiet"} 42.0' in lines
    assert 'gateway_wait_seconds_count{endpoint="chat",tenant="quiet"} 1.0' in lines


def test_a_scrape_costs_by_the_tenants_that_are_active() -> None:
    series = Series()
    for number in range(1000):
        series.requests(f"t{number}", "m").inc()
    assert len(series.shown()) == 1000
    series.now_s += HIDDEN_AFTER_S
    series.requests("t7", "m").inc()
    assert series.shown() == {"t7"}
    assert list(series.tenants._last_s) == ["t7"]
    assert not series.tenants._touched


def test_what_was_counted_since_the_gates_were_read_is_shown() -> None:
    series = Series()
    series.requests("new", "m").inc()
    assert series.lines() == ['gateway_requests_total{model="m",tenant="new"} 1.0']


def test_a_tenant_with_an_odd_name_is_shown_and_hidden_as_any_other() -> None:
    series = Series()
    series.requests('"\\', "m").inc()
    series.wait('"\\', "chat").observe(1)
    series.tenants.take()
    assert series.lines()[0] == r'gateway_requests_total{model="m",tenant="\"\\"} 1.0'
    assert r'gateway_wait_seconds_sum{endpoint="chat",tenant="\"\\"} 1.0' in series.lines()
    series.now_s += HIDDEN_AFTER_S
    series.tenants.take()
    assert series.lines() == []
