import pytest

from gateway.fairshare.remote_usage import GateElsewhere, TenantUse, UsageReport

CAPACITY = 40.0


def use(held: int, served: float, waiting: int = 0, weight: float = 1.0) -> TenantUse:
    return TenantUse(weight, held, waiting, served)


def told(*reports: dict[str, dict[str, TenantUse]]) -> list[list[UsageReport]]:
    remote = GateElsewhere(CAPACITY)
    return [sorted(remote.news(report, now_s)) for now_s, report in enumerate(reports)]


def test_only_what_is_new_is_told() -> None:
    first, second = told({"r1": {"a": use(2, 100)}}, {"r1": {"a": use(3, 102.5)}})
    assert first == [("a", 1.0, 2, 0.0)]
    assert second == [("a", 1.0, 3, 2.5)]


def test_replicas_are_added_up() -> None:
    _, second = told(
        {"r1": {"a": use(1, 10)}, "r2": {"a": use(2, 20)}}, {"r1": {"a": use(1, 11)}, "r2": {"a": use(2, 22)}}
    )
    assert second == [("a", 1.0, 3, 3.0)]


def test_a_lost_report_is_made_good_by_the_next() -> None:
    """Reports are state: whether one in between was seen makes no difference."""
    steps = [{"r1": {"a": use(1, served)}} for served in (0, 1, 2, 5)]
    all_of_them, some_of_them = told(*steps), told(steps[0], steps[3])
    assert sum(news[0][3] for news in all_of_them) == sum(news[0][3] for news in some_of_them) == 5


def test_a_report_that_comes_twice_counts_once() -> None:
    report = {"r1": {"a": use(1, 3)}}
    assert told({"r1": {"a": use(1, 0)}}, report, report)[2] == [("a", 1.0, 1, 0.0)]


def test_who_is_gone_holds_nothing() -> None:
    assert told({"r1": {"a": use(2, 5)}}, {"r1": {}}, {}) == [[("a", 1.0, 2, 0.0)], [("a", 1.0, 0, 0.0)], []]


def test_what_a_new_replica_did_before_is_nobodys_business() -> None:
    _, second, third = told({}, {"r1": {"a": use(1, 1e6)}}, {"r1": {"a": use(1, 1e6 + 1)}})
    assert (second, third) == ([("a", 1.0, 1, 0.0)], [("a", 1.0, 1, pytest.approx(1.0))])


def test_a_tenant_that_comes_back_is_not_charged_for_long_ago() -> None:
    _, second = told({"r1": {}}, {"r1": {"a": use(1, 1e6)}})
    assert second == [("a", 1.0, 1, CAPACITY)]


def test_a_restarted_process_is_another_one() -> None:
    _, second = told({"r1 first": {"a": use(4, 100)}}, {"r1 second": {"a": use(1, 0.5)}})
    assert second == [("a", 1.0, 1, 0.0)]
