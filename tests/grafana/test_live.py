"""A real Prometheus scrapes a real gateway under load; every query of every panel and rule is put to it."""

import re
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from tests.grafana.expressions import Expression, panel_expressions, rule_expressions
from tests.grafana.load import ENDPOINT, MODELS, SETTINGS, TENANTS, send_all_kinds, send_each_kind, send_failures
from tests.grafana.promql import filled, selectors
from tests.grafana.scraping import Prometheus, Series, numbers, scraping
from tests.grafana.tools import promtool
from tests.stacks import Stack, stack
from tests.waiting import eventually

pytestmark = pytest.mark.server

LOAD_S = 7.0
LABELS_OF_PROMETHEUS = {"job", "instance", "le"}
WITHOUT_DATA = {
    "FairpodAbsent": "A gateway is there.",
    "FairpodBugs": "There was none, which the tests hope for.",
    "FairpodStateStoreDown": "The memory of the process is always within reach.",
    "FairpodConnectionsFull": "The load has fewer connections than there is room for.",
    "FairpodConfigRefused": "Nobody changes the configuration.",
    "FairpodEndpointCold": "The emulator's workers are warm, and nobody waits five minutes for a test.",
    "FairpodCancelsFailing": "A cancel gives up after 23 seconds of tries.",
}
"""Queries that rightly find nothing."""
WITH_OR_WITHOUT_DATA = {
    "FairpodShareBelowFair": "Seats are whole, so that the first moments of a tenant may be below its share.",
}


class Observed(msgspec.Struct, frozen=True):
    """What is left after the load."""

    prometheus: Prometheus
    running: Stack
    start_s: float
    end_s: float
    scrape: str

    def series(self, expression: str) -> list[Series]:
        """What a query finds, without series that are never a number."""
        found = self.prometheus.over_time(expression, self.start_s, self.end_s)
        return [series for series in found if numbers(series)]

    def over_time(self, expression: str) -> list[list[float]]:
        """The numbers of each series."""
        return [numbers(series) for series in self.series(expression)]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    directory = tmp_path_factory.mktemp("prometheus")
    with (
        stack(SETTINGS, endpoint=ENDPOINT, tenants=TENANTS, models=MODELS) as running,
        scraping(running.url, directory) as prometheus,
    ):
        start_s = prometheus.scraped_at_s()
        send_each_kind(running)
        # A rate needs a scrape before the increase, and an alert on the part of failures no successes beside them: a
        # breaker ends those of the crowd at once.
        _wait_for_scrape(prometheus)
        send_failures(running)
        _wait_for_scrape(prometheus)
        send_all_kinds(running, LOAD_S)
        end_s = prometheus.scraped_at_s()
        _wait_for_scrape(prometheus)
        yield Observed(prometheus, running, start_s, end_s, httpx.get(f"{running.url}/metrics").text)


def _wait_for_scrape(prometheus: Prometheus) -> None:
    """Wait for a scrape that began after the call: the second one that is seen to end."""
    now_s = prometheus.scraped_at_s()
    eventually(lambda: prometheus.scraped_at_s() >= now_s + 2)


@pytest.mark.parametrize("expression", panel_expressions(), ids=lambda each: each.place)
def test_every_panel_has_data_and_the_labels_of_its_legend(observed: Observed, expression: Expression) -> None:
    found = observed.series(filled(expression.text))
    assert bool(found) is (expression.place not in WITHOUT_DATA)
    labels = {label for series in found for label in series["metric"]}
    assert set(re.findall(r"\{\{(\w+)\}\}", expression.legend)) <= labels


@pytest.mark.parametrize("expression", rule_expressions(), ids=lambda each: each.place)
def test_every_rule_has_data_or_nothing_to_say(observed: Observed, expression: Expression) -> None:
    found = observed.over_time(expression.text)
    if expression.place not in WITH_OR_WITHOUT_DATA:
        assert bool(found) is (expression.place not in WITHOUT_DATA)


@pytest.mark.parametrize("expression", [*panel_expressions(), *rule_expressions()], ids=lambda each: each.place)
def test_whatever_a_query_reads_is_there(observed: Observed, expression: Expression) -> None:
    for selector in selectors(filled(expression.text)):
        found = observed.over_time(str(selector))
        assert found, str(selector)


def test_what_has_no_data_is_still_asked() -> None:
    everything = [*panel_expressions(), *rule_expressions()]
    assert WITHOUT_DATA.keys() | WITH_OR_WITHOUT_DATA.keys() <= {each.place for each in everything}


def test_prometheus_evaluates_the_rules_itself(observed: Observed) -> None:
    rules = [rule for group in observed.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(rule_expressions())
    assert {(rule["health"], rule.get("lastError")) for rule in rules} == {("ok", None)}


def test_queries_use_only_labels_that_metrics_have(observed: Observed) -> None:
    labels: dict[str, set[str]] = {}
    for name, inside in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", observed.scrape, re.MULTILINE):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inside))
    for expression in [*panel_expressions(), *rule_expressions()]:
        for selector in selectors(expression.text):
            # Gauges of those present are gone from a scrape when nobody is.
            if selector.name in labels:
                assert selector.labels <= labels[selector.name] | LABELS_OF_PROMETHEUS, (expression.place, selector)


def test_promtool_finds_nothing_to_say_about_the_metrics(observed: Observed) -> None:
    done = promtool("check", "metrics", stdin=observed.scrape)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_borrowed_is_what_is_lent(observed: Observed) -> None:
    """Shares are of the same seats, so borrowing and lending come to zero while all of them are in use."""
    borrowed = [each.text for each in panel_expressions() if "Who borrows from whom" in each.place]
    together = " + ".join(f"sum({filled(text)})" for text in borrowed)
    (sums,) = observed.over_time(together)
    # Seats that are free, between two requests or as the load ends, are lent to nobody.
    assert max(sums) == pytest.approx(0.0, abs=1e-9)


def test_shares_of_gpu_time_come_to_one(observed: Observed) -> None:
    (text,) = [each.text for each in panel_expressions() if "Share of GPU time" in each.place]
    (sums,) = observed.over_time(f"sum({filled(text)})")
    assert sums == pytest.approx([1.0] * len(sums))


def test_variables_have_values(observed: Observed) -> None:
    for label, expected in {"tenant": {"acme", "beta", "capped"}, "model": {"m", "shaky"}}.items():
        values = observed.prometheus.ask(f"label/{label}/values", **{"match[]": "gateway_requests_total"})
        assert set(values) - {""} == expected
    values = observed.prometheus.ask("label/endpoint/values", **{"match[]": "gateway_upstream_requests_total"})
    assert values == ["chat"]
