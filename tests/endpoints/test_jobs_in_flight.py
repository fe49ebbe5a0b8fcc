from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoints.jobs_in_flight import AGE_S, AGES, MEMORY_S, SUBMIT_S, InFlightCounts, JobsInFlight


def test_a_request_is_surely_at_runpod_a_while_after_it_was_sent_or_once_it_has_output() -> None:
    requests = JobsInFlight()
    requests.begin("a", 10.0)
    assert requests.count(9.9) == InFlightCounts(sure=0, all=0)
    assert requests.count(10.0) == InFlightCounts(sure=0, all=1)
    assert requests.count(10.0 + SUBMIT_S) == InFlightCounts(sure=1, all=1)
    requests.output("a", 10.2)
    # What it showed later says nothing of the time before.
    assert requests.count(10.1) == InFlightCounts(sure=0, all=1)
    assert requests.count(10.2) == InFlightCounts(sure=1, all=1)


def test_a_request_that_ended_since_was_there_and_may_have_been_over_at_runpod() -> None:
    requests = JobsInFlight()
    requests.begin("a", 10.0)
    requests.output("a", 10.1)
    requests.end("a", 20.0)
    requests.output("never begun", 20.0)
    requests.end("never begun", 20.0)
    assert requests.count(19.9) == InFlightCounts(sure=0, all=1)
    assert requests.count(20.0) == InFlightCounts(sure=0, all=0)
    requests.begin("b", 30.0)
    requests.end("b", 30.0 + MEMORY_S)
    assert requests.count(19.9) == InFlightCounts(sure=0, all=0)


@given(
    st.lists(st.tuples(*(st.floats(0, 4),) * 3), max_size=20),
    st.integers(0, AGES),
)
def test_recent_counts_are_the_counts_of_those_times(lives: list[tuple[float, float, float]], age: int) -> None:
    requests, now_s = JobsInFlight(), 10.0
    steps = []
    for number, (long_ago_s, shows_after_s, ends_after_s) in enumerate(lives):
        began_s = now_s - long_ago_s
        steps.append((began_s, 0, partial(requests.begin, number, began_s)))
        for order, after_s, step in ((1, shows_after_s, requests.output), (2, ends_after_s, requests.end)):
            if began_s + after_s <= now_s:
                steps.append((began_s + after_s, order, partial(step, number, began_s + after_s)))
    for _, _, step in sorted(steps, key=lambda each: each[:2]):
        step()
    at_s = now_s - age * AGE_S
    recent = requests.recent(now_s)
    assert len(recent) == AGES
    if age < AGES and all(abs(when_s - at_s) > 1e-6 for when_s in edges_of(lives, now_s)):
        assert recent[age] == requests.count(at_s)


def edges_of(lives: list[tuple[float, float, float]], now_s: float) -> list[float]:
    """The times at which a count changes; rounding decides on which side they are."""
    began_s = [now_s - long_ago_s for long_ago_s, _, _ in lives]
    after_s = [(0.0, SUBMIT_S, *after) for _, *after in lives]
    return [began + each for began, each_after in zip(began_s, after_s, strict=True) for each in each_after]


def test_a_left_request_counts_and_is_not_sure_until_its_job_ends() -> None:
    requests = JobsInFlight()
    requests.begin("left", 0.0)
    requests.output("left", 1.0)
    assert requests.count(1.0) == InFlightCounts(sure=1, all=1)
    requests.leave("left")
    requests.leave("never there")
    assert requests.count(2.0) == InFlightCounts(sure=0, all=1)
    assert (requests.recent(2.0)[0].sure, requests.recent(2.0)[0].all) == (0, 1)
    requests.end("left", 3.0)
    assert (requests.count(2.5).all, requests.count(3.0).all) == (1, 0)
