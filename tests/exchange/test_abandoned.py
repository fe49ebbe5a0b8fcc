from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange.abandoned import AbandonedAttempts, unfinished_jobs
from gateway.wire.runpod import EndpointHealth


def reading(running: int, queued: int = 0) -> EndpointHealth:
    return EndpointHealth(jobs={"inProgress": running, "inQueue": queued})


def abandoned(*since_s: float, until_s: float = 1e9) -> tuple[AbandonedAttempts, list[int]]:
    ended: list[int] = []
    attempts = AbandonedAttempts()
    for number, now_s in enumerate(since_s):
        attempts.add(
            f"t{number % 2}", now_s=now_s, until_s=until_s + number, end=lambda number=number: ended.append(number)
        )
    return attempts, ended


def test_as_many_are_held_as_may_still_be_there_and_the_oldest_end_first() -> None:
    attempts, ended = abandoned(1.0, 2.0, 3.0)
    attempts.look(reading(running=4, queued=1), asked_at_s=10.0, live=2)
    assert ended == []
    attempts.look(reading(running=2, queued=1), asked_at_s=11.0, live=2)
    assert ended == [0, 1]
    assert [attempts.count_of(tenant) for tenant in ("t0", "t1")] == [1, 0]
    attempts.look(reading(running=0), asked_at_s=12.0, live=2)
    assert (ended, len(attempts)) == ([0, 1, 2], 0)


def test_a_reading_says_nothing_of_what_was_abandoned_after_it_was_asked_for() -> None:
    attempts, ended = abandoned(1.0, 5.0)
    attempts.look(reading(running=0), asked_at_s=4.0, live=0)
    assert (ended, len(attempts)) == ([0], 1)


def test_what_cannot_be_read_ends_nothing_before_its_longest_time() -> None:
    attempts, ended = abandoned(1.0, 2.0, until_s=100.0)
    for health in (None, EndpointHealth(), EndpointHealth(jobs={"inProgress": 0}), EndpointHealth(jobs={"inQueue": 0})):
        attempts.look(health, asked_at_s=10.0, live=0)
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
    attempts, running, ended, now_s = AbandonedAttempts(), 0, [0], 0.0

    def end() -> None:
        ended[0] += 1

    added = 0
    for new, over, live, strangers in story:
        now_s += 1.0
        for _ in range(new):
            attempts.add("a", now_s=now_s, until_s=1e9, end=end)
        added, running = added + new, running + new
        running -= min(running, over)
        attempts.look(reading(running=running + live + strangers), asked_at_s=now_s, live=live)
        assert len(attempts) == added - ended[0] >= running
    attempts.look(reading(running=0), asked_at_s=now_s, live=0)
    assert len(attempts) == 0
