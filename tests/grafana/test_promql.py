"""The reader of queries, before anything is believed because of it."""

import pytest

from tests.grafana.promql import filled, selectors


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("up", ["up"]),
        ("sum by (le, tenant) (rate(a_bucket{le='1', b=~\"x|y\"}[5m]))", ["a_bucket{le='1', b=~\"x|y\"}"]),
        ("a / on (job) group_left () sum(b)", ["a", "b"]),
        ("avg without (instance) (a) > 14.4 * 0.01", ["a"]),
        ("sum(a) by (b) or vector(0)", ["a"]),
        ("avg_over_time((a and b > 0)[2m:15s]) < 0.9", ["a", "b"]),
        ('a{x="}"} unless a offset 15m', ['a{x="}"}', "a"]),
        ("absent(a:b:c)", ["a:b:c"]),
    ],
)
def test_the_metrics_of_a_query_are_found(expression: str, found: list[str]) -> None:
    assert [str(selector) for selector in selectors(expression)] == found


def test_labels_are_found() -> None:
    (selector,) = selectors('a{x="1", y=~"p|q=", z!="="}')
    assert selector.labels == {"x", "y", "z"}


def test_variables_are_filled() -> None:
    text = 'rate(a{tenant=~"$tenant"}[$__rate_interval]) + increase(b[$__range])'
    assert filled(text) == 'rate(a{tenant=~".*"}[10s]) + increase(b[10s])'
