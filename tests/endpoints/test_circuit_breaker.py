from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoints.circuit_breaker import (
    ALONE_S,
    FAILURES_MAX,
    LATELY_S,
    LOOK_S,
    PAUSE_S_FIRST,
    PAUSE_S_MAX,
    TRIAL_RETRY_S,
    TRIAL_S_MAX,
    WINDOW_S,
    CircuitBreaker,
    Evidence,
)

A, B = "acme", "other"
BY_CONTENT = [Evidence.HEARD, Evidence.SUSPECT, Evidence.DOUBTFUL, Evidence.SERVED]
"""What one tenant's requests can bring about by what they hold."""


def told(breaker: CircuitBreaker, evidence: Evidence, *tenants: str, now_s: float = 0.0) -> CircuitBreaker:
    for tenant in tenants:
        breaker.tell(evidence, tenant, now_s)
    return breaker


def opened(now_s: float = 0.0) -> CircuitBreaker:
    return told(CircuitBreaker(), Evidence.CERTAIN, *[A] * FAILURES_MAX, now_s=now_s)


def on_trial(now_s: float = PAUSE_S_FIRST) -> CircuitBreaker:
    """One that rested until `now_s`, and whose endpoint was then seen to be well."""
    breaker = opened(now_s - PAUSE_S_FIRST)
    breaker.on_health(is_well=True, now_s=now_s)
    return breaker


def resting(tenant: str = A, now_s: float = 0.0) -> CircuitBreaker:
    return told(CircuitBreaker(), Evidence.SUSPECT, *[tenant] * FAILURES_MAX, now_s=now_s)


def test_a_row_of_certain_failures_opens_it_and_one_success_breaks_the_row() -> None:
    breaker = CircuitBreaker()
    for _ in range(3):
        told(breaker, Evidence.CERTAIN, *[A] * (FAILURES_MAX - 1))
        assert breaker.enter_s(A, 0.0) is None
        told(breaker, Evidence.SERVED, B)
        assert breaker.is_calm
    assert opened().is_open
    assert opened().enter_s(B, 0.0) == PAUSE_S_FIRST


@pytest.mark.parametrize("evidence", [Evidence.CERTAIN, Evidence.SUSPECT])
def test_failures_that_lie_far_apart_are_no_row(evidence: Evidence) -> None:
    breaker = CircuitBreaker()
    for number in range(10 * FAILURES_MAX):
        now_s = number * (WINDOW_S / (FAILURES_MAX - 2))
        breaker.tell(evidence, (A, B)[number % 2], now_s)
        assert breaker.enter_s(A, now_s) is None
    assert not breaker.is_open


@pytest.mark.parametrize(
    ("failed", "is_open"),
    [
        ([A] * 500, False),
        ([A] * 500 + [B], False),
        ([A] * 500 + [B] * 2, True),
        ([A, B] * 2 + [A], True),
        ([A, B, "c", "d"], False),
        ([A, B, "c", "d", "e"], True),
    ],
)
def test_suspect_failures_open_it_where_they_are_those_of_several_tenants(failed: list[str], *, is_open: bool) -> None:
    assert told(CircuitBreaker(), Evidence.SUSPECT, *failed).is_open is is_open


OUTCOMES = st.lists(st.tuples(st.sampled_from([*BY_CONTENT, None]), st.floats(0, 40)))


@given(outcomes=OUTCOMES, begins=st.sampled_from(["well", "without health", "on trial"]))
def test_no_content_of_one_tenant_s_requests_turns_away_another(
    outcomes: list[tuple[Evidence | None, float]], begins: str
) -> None:
    """None stands for a request whose client leaves, so that it never tells."""
    breaker, now_s = on_trial() if begins == "on trial" else CircuitBreaker(), PAUSE_S_FIRST
    # A key may not be allowed to read /health.
    is_well = begins != "without health"
    if begins != "on trial":
        breaker.on_health(is_well=is_well, now_s=now_s)
    for evidence, pause_s in outcomes:
        now_s += pause_s
        if breaker.needs_probe(now_s):
            breaker.on_health(is_well=is_well, now_s=now_s)
        if breaker.cooldown_s(A, now_s) is None and breaker.enter_s(A, now_s) is None and evidence is not None:
            breaker.tell(evidence, A, now_s)
        assert breaker.cooldown_s(B, now_s) is None
    assert breaker.enter_s(B, now_s) is None


@given(st.lists(st.sampled_from(BY_CONTENT)))
def test_a_flood_under_way_together_turns_away_no_other_either(outcomes: list[Evidence]) -> None:
    for breaker in (CircuitBreaker(), on_trial()):
        breaker.enter_s(A, PAUSE_S_FIRST)
        for evidence in outcomes:
            breaker.tell(evidence, A, PAUSE_S_FIRST)
        assert breaker.enter_s(B, PAUSE_S_FIRST) is None


def test_a_tenant_whose_own_requests_fail_rests_briefly_and_then_tries_one_at_a_time() -> None:
    breaker = resting()
    assert breaker.cooldown_s(A, 1.0) == breaker.enter_s(A, 1.0) == PAUSE_S_FIRST - 1.0
    assert not breaker.is_open
    for round_ in range(1, 10):
        now_s = round_ * PAUSE_S_FIRST
        assert breaker.cooldown_s(A, now_s) is None
        assert [breaker.enter_s(A, now_s) for _ in range(3)] == [None, TRIAL_RETRY_S, TRIAL_RETRY_S]
        assert breaker.cooldown_s(A, now_s) is None
        # As long as the first time, however often.
        breaker.tell(Evidence.SUSPECT, A, now_s)
        assert breaker.cooldown_s(A, now_s) == PAUSE_S_FIRST


@pytest.mark.parametrize(("evidence", "tenant"), [(Evidence.SERVED, A), (Evidence.SERVED, B), (Evidence.HEARD, A)])
def test_it_is_over_when_anything_is_served_or_its_own_trial_is_heard(evidence: Evidence, tenant: str) -> None:
    breaker = resting()
    assert breaker.enter_s(A, PAUSE_S_FIRST) is None
    breaker.tell(evidence, tenant, PAUSE_S_FIRST)
    assert breaker.enter_s(A, PAUSE_S_FIRST) is None
    assert breaker.is_calm


def test_a_trial_of_a_tenant_that_never_tells_does_not_block_it_for_ever() -> None:
    breaker = resting()
    assert breaker.enter_s(A, PAUSE_S_FIRST) is None
    assert breaker.enter_s(A, PAUSE_S_FIRST + TRIAL_S_MAX) is None


def failing_on(*, until_s: float, reads: Iterable[bool]) -> CircuitBreaker:
    """One tenant alone fails for so long; /health is looked at when it is wanted."""
    breaker, readings, now_s = CircuitBreaker(), iter(reads), 0.0
    breaker.on_health(is_well=next(readings), now_s=0.0)
    while now_s <= until_s and not breaker.is_open:
        breaker.tell(Evidence.SUSPECT, A, now_s)
        if breaker.needs_probe(now_s):
            breaker.on_health(is_well=next(readings), now_s=now_s)
        now_s += 1.0
    return breaker


def test_one_tenant_alone_opens_it_only_after_a_while_and_with_a_health_that_cannot_be_read_any_more() -> None:
    assert not failing_on(until_s=600, reads=[True] * 1000).is_open
    assert not failing_on(until_s=ALONE_S - 1, reads=[True] + [False] * 100).is_open
    assert failing_on(until_s=ALONE_S + LOOK_S, reads=[True] + [False] * 100).is_open
    # A key that may not read it says nothing.
    assert not failing_on(until_s=600, reads=[False] * 1000).is_open


def test_health_is_looked_at_on_suspicion_and_not_all_the_time() -> None:
    breaker = CircuitBreaker()
    for now_s in (0.0, 5.0, 10.0, 14.0):
        told(breaker, Evidence.SUSPECT, A, A, now_s=now_s)
        assert not breaker.needs_probe(now_s)
    told(breaker, Evidence.SUSPECT, A, now_s=ALONE_S)
    assert breaker.needs_probe(ALONE_S)
    breaker.on_health(is_well=True, now_s=ALONE_S)
    assert not breaker.needs_probe(ALONE_S + LOOK_S - 1)
    assert breaker.needs_probe(ALONE_S + LOOK_S)
    assert not breaker.needs_probe(ALONE_S + 2 * WINDOW_S)


def test_while_it_rests_nobody_is_let_through_and_nobody_looks() -> None:
    breaker = opened()
    assert breaker.cooldown_s(A, 1.0) == breaker.enter_s(A, 1.0) == PAUSE_S_FIRST - 1.0
    assert not breaker.needs_probe(1.0)
    breaker.on_health(is_well=True, now_s=1.0)
    assert breaker.enter_s(A, 1.0) is not None


def test_after_the_rest_one_request_of_each_tenant_tries_once_the_endpoint_is_seen_to_be_well() -> None:
    breaker = opened()
    assert breaker.needs_probe(PAUSE_S_FIRST)
    assert breaker.enter_s(A, PAUSE_S_FIRST) is not None
    breaker.on_health(is_well=True, now_s=PAUSE_S_FIRST)
    assert breaker.cooldown_s(A, PAUSE_S_FIRST) is None
    assert [breaker.enter_s(A, PAUSE_S_FIRST) for _ in range(3)] == [None, TRIAL_RETRY_S, TRIAL_RETRY_S]
    assert [breaker.enter_s(B, PAUSE_S_FIRST) for _ in range(3)] == [None, TRIAL_RETRY_S, TRIAL_RETRY_S]
    breaker.tell(Evidence.SERVED, B, PAUSE_S_FIRST)
    assert breaker.enter_s(A, PAUSE_S_FIRST) is None
    assert not breaker.is_open


def test_the_trial_of_one_tenant_that_fails_by_its_content_keeps_only_itself_from_trying() -> None:
    breaker = on_trial(10.0)
    assert breaker.enter_s(A, 10.0) is None
    breaker.tell(Evidence.SUSPECT, A, 10.0)
    assert breaker.cooldown_s(A, 11.0) == breaker.enter_s(A, 11.0) == PAUSE_S_FIRST - 1.0
    assert breaker.enter_s(B, 11.0) is None
    # Of its own others that were under way nothing counts.
    told(breaker, Evidence.SUSPECT, "c", "d", now_s=11.0)
    assert breaker.enter_s(A, 10.0 + PAUSE_S_FIRST) is None
    breaker.tell(Evidence.SUSPECT, A, 16.0)
    breaker.tell(Evidence.SUSPECT, B, 16.0)
    assert breaker.cooldown_s("c", 16.0) == 2 * PAUSE_S_FIRST


@pytest.mark.parametrize("evidence", [Evidence.SERVED, Evidence.HEARD, Evidence.CERTAIN, Evidence.NONE])
def test_what_a_trial_finds_out(evidence: Evidence) -> None:
    breaker = on_trial(10.0)
    assert breaker.enter_s(A, 10.0) is None
    breaker.tell(evidence, A, 10.0)
    assert breaker.is_open is (evidence in {Evidence.CERTAIN, Evidence.NONE})
    assert (breaker.cooldown_s(B, 10.0) is not None) is (evidence is Evidence.CERTAIN)


def test_what_a_tenant_without_a_trial_heard_ends_nobody_s() -> None:
    breaker = on_trial(10.0)
    assert breaker.enter_s(A, 10.0) is None
    breaker.tell(Evidence.HEARD, B, 10.0)
    assert breaker.is_open
    assert breaker.enter_s(A, 10.0) == TRIAL_RETRY_S
    breaker.tell(Evidence.HEARD, A, 10.0)
    assert breaker.is_calm


def test_each_rest_is_twice_as_long_up_to_a_bound() -> None:
    breaker, now_s, rests_s = opened(), 0.0, list[float]()
    for is_well in (True, False) * 4:
        cooldown_s = breaker.cooldown_s(A, now_s)
        assert cooldown_s is not None
        rests_s.append(cooldown_s)
        now_s += cooldown_s
        breaker.on_health(is_well=is_well, now_s=now_s)
        if breaker.enter_s(A, now_s) is None:
            breaker.tell(Evidence.CERTAIN, A, now_s)
    assert rests_s[:4] == [5, 10, 20, 40]
    assert rests_s[4:] == [PAUSE_S_MAX] * 4


def test_a_trial_that_never_tells_does_not_block_for_ever() -> None:
    breaker = on_trial()
    assert breaker.enter_s(A, PAUSE_S_FIRST) is None
    assert breaker.enter_s(A, PAUSE_S_FIRST + TRIAL_S_MAX) is None


@pytest.mark.parametrize("evidence", [Evidence.CERTAIN, Evidence.SUSPECT, Evidence.HEARD, Evidence.NONE])
def test_those_who_were_under_way_change_nothing_while_it_rests(evidence: Evidence) -> None:
    breaker = told(opened(), evidence, *[A] * 50, now_s=1.0)
    assert breaker.cooldown_s(A, 1.0) == PAUSE_S_FIRST - 1.0
    breaker.on_health(is_well=True, now_s=PAUSE_S_FIRST)
    told(breaker, evidence, *[A] * 50, now_s=PAUSE_S_FIRST)
    assert breaker.is_open
    assert breaker.enter_s(A, PAUSE_S_FIRST) is None


def test_work_that_is_taken_closes_it_at_any_time() -> None:
    for breaker in (opened(), on_trial(), resting()):
        breaker.tell(Evidence.SERVED, B, 1.0)
        assert breaker.is_calm
        assert breaker.enter_s(A, 1.0) is None


def test_an_endpoint_whose_health_cannot_be_read_is_tried_all_the_same() -> None:
    breaker, now_s = opened(), 0.0
    for _ in range(10):
        cooldown_s = breaker.cooldown_s(A, now_s)
        if cooldown_s is None:
            break
        now_s += cooldown_s
        breaker.on_health(is_well=False, now_s=now_s)
    assert breaker.enter_s(A, now_s) is None
    assert now_s < 2 * PAUSE_S_MAX
    # No other of its requests, and not before the longest rest if it fails.
    assert breaker.enter_s(A, now_s) is not None
    breaker.tell(Evidence.CERTAIN, A, now_s)
    assert breaker.cooldown_s(A, now_s) == PAUSE_S_MAX


def test_a_doubtful_refusal_counts_unless_work_was_taken_lately() -> None:
    breaker = told(CircuitBreaker(), Evidence.SERVED, A, now_s=100.0)
    told(breaker, Evidence.DOUBTFUL, *[A, B] * FAILURES_MAX, now_s=100.0 + LATELY_S)
    assert not breaker.is_open
    assert told(breaker, Evidence.DOUBTFUL, *[A, B] * FAILURES_MAX, now_s=101.0 + LATELY_S).is_open
    assert told(CircuitBreaker(), Evidence.DOUBTFUL, *[A, B] * FAILURES_MAX).is_open


def test_what_is_heard_neither_counts_nor_breaks_a_row() -> None:
    breaker = CircuitBreaker()
    for _ in range(FAILURES_MAX - 1):
        breaker.tell(Evidence.CERTAIN, A, 0.0)
        breaker.tell(Evidence.HEARD, A, 0.0)
    assert not breaker.is_open
    breaker.tell(Evidence.CERTAIN, A, 0.0)
    assert breaker.is_open


def test_runs_that_are_long_over_are_forgotten() -> None:
    breaker = told(CircuitBreaker(), Evidence.SUSPECT, *map(str, range(4)))
    told(breaker, Evidence.SUSPECT, A, now_s=2 * WINDOW_S)
    assert list(breaker._runs) == [A]
    told(breaker, Evidence.SUSPECT, A, now_s=5 * WINDOW_S)
    assert breaker._runs[A].since_s == 5 * WINDOW_S
