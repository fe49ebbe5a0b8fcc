import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoints.abandoned_attempts import (
    REPORTED_MAX,
    STEADY_READINGS,
    STEADY_S,
    STRANGERS_READINGS,
    STRANGERS_S,
    AbandonedAttempts,
    unfinished_jobs,
)
from gateway.endpoints.jobs_in_flight import SUBMIT_S, InFlightCounts
from gateway.fairshare.replica_jobs import AbandonedElsewhere
from gateway.wire.runpod import EndpointHealth

NONE = InFlightCounts(sure=0, all=0)


def reading(running: int, queued: int = 0) -> EndpointHealth:
    return EndpointHealth(jobs={"inProgress": running, "inQueue": queued})


def abandoned(*expected_s: float, until_s: float = 1e9) -> tuple[AbandonedAttempts, list[int]]:
    """Attempts that were sent and abandoned long before the time 10, of two tenants in turn."""
    ended: list[int] = []
    attempts = AbandonedAttempts()
    for number, each in enumerate(expected_s):
        add(attempts, number, ended, tenant=f"t{number % 2}", expected_s=each, until_s=until_s + number)
    return attempts, ended


def add(attempts: AbandonedAttempts, number: int, ended: list[int], **times: object) -> None:
    given = {"tenant": "t", "sent_at_s": 0.0, "now_s": 5.0, "expected_s": 1e9, "until_s": 1e9, **times}
    tenant = given.pop("tenant")
    attempts.add(tenant, **given, end=lambda _at_s: ended.append(number))  # type: ignore[arg-type]


def test_as_many_are_held_as_may_still_be_there_and_those_end_first_that_were_expected_to() -> None:
    attempts, ended = abandoned(30.0, 10.0, 20.0)
    live = InFlightCounts(sure=2, all=2)
    attempts.look(reading(running=4, queued=1), asked_at_s=10.0, jobs_in_flight=live)
    assert ended == []
    attempts.look(reading(running=2, queued=1), asked_at_s=11.0, jobs_in_flight=live)
    assert ended == [1, 2]
    assert [attempts.count_of(tenant) for tenant in ("t0", "t1")] == [1, 0]
    attempts.look(reading(running=0), asked_at_s=12.0, jobs_in_flight=live)
    assert (ended, len(attempts)) == ([1, 2, 0], 0)


def test_a_reading_says_nothing_of_what_was_abandoned_later_or_was_on_its_way() -> None:
    attempts, ended = AbandonedAttempts(), list[int]()
    add(attempts, 0, ended, sent_at_s=0.0, now_s=5.0)
    add(attempts, 1, ended, sent_at_s=5.0, now_s=5.0)
    attempts.look(reading(running=0), asked_at_s=4.9, jobs_in_flight=NONE)
    assert ended == []
    attempts.look(reading(running=0), asked_at_s=5.0, jobs_in_flight=NONE)
    assert ended == [0]
    attempts.look(reading(running=0), asked_at_s=5.0 + SUBMIT_S, jobs_in_flight=NONE)
    assert ended == [0, 1]


def look_steadily(attempts: AbandonedAttempts, rests: list[int], *, young: int, at_s: float) -> None:
    """Readings of two seconds with requests under way of which only some are surely at Runpod."""
    for number, rest in enumerate(rests):
        asked_at_s = at_s + number * STEADY_S / (len(rests) - 1)
        jobs_in_flight = InFlightCounts(sure=0, all=young)
        attempts.look(reading(running=young + rest), asked_at_s=asked_at_s, jobs_in_flight=jobs_in_flight)


def test_short_requests_of_others_hold_up_no_end() -> None:
    attempts, ended = abandoned(10.0, 20.0)
    look_steadily(attempts, [2, 1] * 6, young=8, at_s=10.0)
    assert ended == []
    # At one moment a request was on its way, so that less was seen than there was.
    look_steadily(attempts, [0, 1, 1, -1, 1, 1] * 2, young=8, at_s=20.0)
    assert ended == [0]
    look_steadily(attempts, [0] * 12, young=8, at_s=30.0)
    assert ended == [0, 1]


def test_few_readings_are_not_steady() -> None:
    attempts, ended = abandoned(10.0)
    look_steadily(attempts, [0] * (STEADY_READINGS - 1), young=8, at_s=10.0)
    assert ended == []


@pytest.mark.parametrize("age_s", [1.0, STRANGERS_S - 1, STRANGERS_S + 1])
def test_jobs_of_other_clients_that_were_seen_before_are_not_taken_for_abandoned_ones(age_s: float) -> None:
    attempts, ended = AbandonedAttempts(), list[int]()
    for jobs in (6, 5, 7):
        attempts.look(reading(running=jobs), asked_at_s=1.0, jobs_in_flight=InFlightCounts(sure=1, all=2))
    add(attempts, 0, ended, sent_at_s=0.0, now_s=1.0)
    attempts.look(reading(running=3), asked_at_s=1.0 + age_s, jobs_in_flight=NONE)
    assert ended == ([0] if age_s <= STRANGERS_S else [])


def test_what_cannot_be_read_ends_nothing_before_its_longest_time() -> None:
    attempts, ended = abandoned(1.0, 2.0, until_s=100.0)
    for health in (None, EndpointHealth(), EndpointHealth(jobs={"inProgress": 0}), EndpointHealth(jobs={"inQueue": 0})):
        attempts.look(health, asked_at_s=10.0, jobs_in_flight=NONE)
    attempts.advance(99.0)
    assert ended == []
    attempts.advance(100.0)
    assert ended == [0]
    attempts.advance(101.0)
    assert (ended, len(attempts)) == ([0, 1], 0)


def test_counts_that_cannot_be_true_are_taken_for_none() -> None:
    assert unfinished_jobs(EndpointHealth(jobs={"inProgress": -3, "inQueue": 2})) == 2


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_no_fewer_are_held_than_run(story: list[tuple[int, int, int, int]]) -> None:
    """Attempts run on for a while; readings know those of others too, and only some live ones are sure."""
    attempts, running, ended, now_s = AbandonedAttempts(), 0, list[int](), 0.0
    attempts.look(reading(running=0), asked_at_s=0.0, jobs_in_flight=NONE)
    added = 0
    for new, over, live, young in story:
        now_s += 1.0
        for _ in range(new):
            add(attempts, added, ended, sent_at_s=now_s - 2, now_s=now_s)
            added += 1
        running += new
        running -= min(running, over)
        jobs_in_flight = InFlightCounts(sure=live, all=live + young)
        attempts.look(reading(running=running + live + young), asked_at_s=now_s, jobs_in_flight=jobs_in_flight)
        assert len(attempts) == added - len(ended) >= running
    attempts.look(reading(running=0), asked_at_s=now_s, jobs_in_flight=NONE)
    assert len(attempts) == 0


def test_an_attempt_ended_between_the_reading_that_showed_it_and_the_next() -> None:
    ended_at_s: list[float] = []
    attempts = AbandonedAttempts()
    for until_s in (1e9, 1e9, 50.0):
        attempts.add("a", sent_at_s=0.0, now_s=5.0, expected_s=until_s, until_s=until_s, end=ended_at_s.append)
    attempts.advance(60.0)
    attempts.look(reading(running=1), asked_at_s=70.0, jobs_in_flight=NONE)
    attempts.look(reading(running=0), asked_at_s=70.4, jobs_in_flight=NONE)
    assert ended_at_s == [50.0, 70.0, 70.2]


def test_those_of_other_replicas_are_among_them_and_are_ended_there() -> None:
    attempts, ended = abandoned(30.0, 50.0)
    elsewhere = [AbandonedElsewhere(5.0, 20.0), AbandonedElsewhere(5.0, 40.0)]
    attempts.look(reading(running=3), asked_at_s=10.0, jobs_in_flight=NONE, elsewhere=elsewhere)
    assert ended == []
    attempts.look(reading(running=2), asked_at_s=10.2, jobs_in_flight=NONE, elsewhere=elsewhere)
    assert ended == [0]
    # One that the reading says nothing of may be among those that run.
    late = [AbandonedElsewhere(10.3, 1.0)]
    attempts.look(reading(running=1), asked_at_s=10.4, jobs_in_flight=NONE, elsewhere=late)
    assert ended == [0]


@pytest.mark.parametrize("elsewhere_until_s", [1.0, float("inf")])
def test_abandoned_ones_elsewhere_are_not_taken_for_other_clients(elsewhere_until_s: float) -> None:
    attempts, ended = AbandonedAttempts(), list[int]()
    for _ in range(STRANGERS_READINGS):
        attempts.look(reading(running=3), asked_at_s=1.0, jobs_in_flight=NONE, elsewhere_until_s=elsewhere_until_s)
    add(attempts, 0, ended)
    attempts.look(reading(running=3), asked_at_s=6.0, jobs_in_flight=NONE)
    assert ended == []


def test_those_that_a_later_reading_has_ended_are_not_taken_for_other_clients() -> None:
    attempts, ended = abandoned(10.0)
    attempts.look(reading(running=0), asked_at_s=6.0, jobs_in_flight=NONE)
    assert (ended, attempts.until_s(7.0)) == ([0], 6.0)
    for _ in range(STRANGERS_READINGS):
        attempts.look(reading(running=1), asked_at_s=5.9, jobs_in_flight=NONE)
    add(attempts, 1, ended)
    attempts.look(reading(running=1), asked_at_s=7.0, jobs_in_flight=NONE)
    assert ended == [0]


def test_what_is_told_is_bounded_and_begins_with_those_that_end_first() -> None:
    attempts, _ = abandoned(*range(REPORTED_MAX + 10, 0, -1))
    told = attempts.report()
    assert [each.expected_at for each in told] == list(range(1, REPORTED_MAX + 1))
    assert {each.since_s for each in told} == {5.0}
