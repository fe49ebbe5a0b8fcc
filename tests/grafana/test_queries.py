"""Queries read metrics that exist, and every metric is on a panel or left out for a reason."""

import re

import pytest

from gateway.observability.metrics import Metrics
from tests.grafana.expressions import Expression, dashboards, panel_expressions, rule_expressions
from tests.grafana.promql import selectors

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}
ON_NO_PANEL = {
    "gateway_state_records_unreadable_total": "It moves in an upgrade alone, and the log tells of it.",
    "process_virtual_memory_bytes": "Resident memory is what runs out.",
    "process_start_time_seconds": "A restart shows in the gateways' count and in memory.",
    "python_info": "The image pins it, and its version does not change.",
    "python_gc_objects_collected_total": "For whoever profiles a process, not for whoever runs it.",
    "python_gc_objects_uncollectable_total": "The same.",
    "python_gc_collections_total": "The same.",
}
"""Metrics that are deliberately on no panel. A new one needs a panel, or a line with its reason here."""
EVERYTHING = [*panel_expressions(), *rule_expressions()]


def families() -> dict[str, str]:
    """The type of every metric that a gateway serves, by name."""
    rendered = Metrics(version="x", read=lambda: ()).render()[0].decode()
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", rendered, re.MULTILINE))


def readable() -> dict[str, str]:
    """The metric behind every name that a query may read."""
    return {name + suffix: name for name, kind in families().items() for suffix in SUFFIXES.get(kind, ("",))}


@pytest.mark.parametrize("expression", EVERYTHING, ids=lambda expression: expression.place)
def test_queries_read_only_what_exists(expression: Expression) -> None:
    found = selectors(expression.text)
    assert found
    assert {selector.name for selector in found} <= set(readable())


def test_a_misspelt_metric_would_be_found() -> None:
    (selector,) = selectors("sum(rate(gateway_request_total[5m]))")
    assert selector.name not in readable()


def test_variables_read_only_what_exists() -> None:
    for dashboard in dashboards().values():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
                assert name in readable()
                assert label == variable["name"]


def test_every_metric_is_on_a_panel_or_left_out_for_a_reason() -> None:
    shown = {readable()[selector.name] for each in panel_expressions() for selector in selectors(each.text)}
    left_out = set(families()) - shown
    assert left_out - set(ON_NO_PANEL) == set(), "give it a panel in grafana/, or a line in ON_NO_PANEL"
    assert set(ON_NO_PANEL) - left_out == set(), "it is on a panel, or exists no more"


def test_counters_are_read_as_rates_and_gauges_are_not() -> None:
    """A counter's own value says how long its process has lived, and little else."""
    kinds = families()
    for each in EVERYTHING:
        for selector in selectors(each.text):
            kind = kinds[readable()[selector.name]]
            is_rate = re.search(rf"(rate|increase)\({re.escape(str(selector))}\[", each.text) is not None
            assert is_rate is (kind != "gauge"), (each.place, str(selector))
