"""The law of the GPU clock: shares, idle time and carry are the time of the workers, exactly."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.fairshare.gpu_clock import GpuClock
from tests.invariants.profile import steady

S = 1_000_000_000


def settled(clock: GpuClock, now_ns: int, *, workers: int | None = None) -> dict[int, int]:
    """Advance it, after a reading of so many workers."""
    if workers is not None:
        clock.set_workers(workers, now_ns)
    return dict(clock.advance(now_ns))


def test_eight_attempts_on_one_worker_share_its_time() -> None:
    clock = GpuClock(0)
    clock.set_workers(1, 0)
    for number in range(8):
        clock.open(number, 0)
        clock.start(number)
    for number in range(8):
        clock.end(number, 16 * S)
    assert settled(clock, 16 * S, workers=1) == dict.fromkeys(range(8), 2 * S)
    assert (clock.workers_ns, clock.idle_ns, clock.running) == (16 * S, 0, 0)


def test_two_attempts_on_two_workers_have_one_each_and_a_third_is_idle() -> None:
    clock = GpuClock(0)
    clock.set_workers(3, 0)
    for number in range(2):
        clock.open(number, 0)
        clock.start(number)
        clock.end(number, 4 * S)
    assert settled(clock, 5 * S) == {0: 4 * S, 1: 4 * S}
    # One worker beside them, and three after them.
    assert clock.idle_ns == 4 * S + 3 * S


def test_an_attempt_that_runs_has_a_worker_whatever_was_read() -> None:
    clock = GpuClock(0)
    clock.open(1, 0)
    clock.start(1)
    clock.end(1, 2 * S)
    assert settled(clock, 10 * S) == {1: 2 * S}
    assert (clock.workers_ns, clock.idle_ns) == (2 * S, 0)


def test_an_attempt_whose_worker_is_surely_gone_costs_nothing_until_another_begins() -> None:
    clock = GpuClock(0)
    clock.set_workers(1, 0)
    clock.open(1, 0)
    clock.start(1)
    clock.set_workers(0, 2 * S)
    clock.set_workers(0, 4 * S, is_sure=True)
    clock.advance(5 * S)
    assert clock.share_ns(1, 9 * S) == 4 * S
    clock.open(2, 10 * S)
    clock.start(2, 10 * S)
    clock.end(2, 12 * S)
    clock.end(1, 12 * S)
    assert settled(clock, 12 * S, workers=1) == {1: 5 * S, 2: 1 * S}
    assert (clock.workers_ns, clock.idle_ns) == (6 * S, 0)


def test_a_start_that_is_learned_at_the_end_counts_from_when_it_was() -> None:
    clock = GpuClock(0)
    clock.open(1, 0)
    clock.open(2, 0)
    clock.start(2)
    clock.end(2, 6 * S)
    # The first may have begun at any time, so nothing can be divided yet.
    assert settled(clock, 8 * S) == {}
    clock.start(1, 4 * S)
    clock.end(1, 8 * S)
    assert settled(clock, 8 * S, workers=1) == {2: 5 * S, 1: 3 * S}


def test_a_queue_that_was_seen_lets_time_go_on() -> None:
    clock = GpuClock(0)
    clock.open(1, 0)
    clock.open(2, 0)
    clock.start(1)
    clock.end(1, 3 * S)
    clock.queued(2, 5 * S)
    assert settled(clock, 6 * S) == {1: 3 * S}
    # Earlier than it was seen to wait cannot be.
    clock.start(2, 1 * S)
    clock.end(2, 7 * S)
    assert settled(clock, 9 * S) == {2: 2 * S}


def test_no_account_waits_for_ever_for_a_start_that_nobody_sees() -> None:
    clock = GpuClock(0)
    clock.open(1, 0)
    clock.open(2, 0)
    clock.start(1)
    clock.end(1, 3 * S)
    assert dict(clock.advance(8 * S, waited_until_ns=-2 * S)) == {}
    assert dict(clock.advance(12 * S, waited_until_ns=2 * S)) == {}
    assert dict(clock.advance(13 * S, waited_until_ns=3 * S)) == {1: 3 * S}
    clock.start(2, 1 * S)
    clock.end(2, 14 * S)
    assert settled(clock, 14 * S) == {2: 11 * S}


def test_an_attempt_that_never_began_costs_nothing() -> None:
    clock = GpuClock(0)
    clock.open(1, 0)
    clock.end(1, 5 * S)
    assert settled(clock, 5 * S) == {1: 0}
    clock.end(1, 6 * S)
    clock.start(1)
    clock.queued(1, 7 * S)
    clock.start(99)
    assert settled(clock, 8 * S) == {}


def test_what_was_given_is_not_taken_back() -> None:
    clock = GpuClock(0)
    clock.open(1, 0)
    clock.start(1)
    assert settled(clock, 5 * S) == {}
    clock.end(1, 2 * S)
    clock.set_workers(7, 1 * S)
    clock.set_others(7, 1 * S)
    assert settled(clock, 5 * S) == {1: 5 * S}
    clock.open(2, 3 * S)
    clock.start(2, 3 * S)
    clock.end(2, 4 * S)
    assert settled(clock, 6 * S) == {2: 0}


def test_an_attempt_that_is_dropped_is_never_settled_and_leaves_what_it_was_given_idle() -> None:
    clock = GpuClock(0)
    for number in range(2):
        clock.open(number, 0)
        clock.start(number)
    settled(clock, 4 * S, workers=1)
    clock.drop(1)
    clock.drop(1)
    clock.end(0, 8 * S)
    # Time that was divided already stays so.
    assert settled(clock, 8 * S) == {0: 6 * S}
    assert (clock.idle_ns, clock.workers_ns) == (2 * S, 8 * S)


def test_an_attempt_that_is_charged_elsewhere_has_its_part_until_then() -> None:
    clock = GpuClock(0)
    for number in range(2):
        clock.open(number, 0)
        clock.start(number)
    clock.drop(1, 6 * S)
    clock.end(0, 8 * S)
    assert settled(clock, 8 * S, workers=1) == {0: 5 * S}
    assert (clock.idle_ns, clock.workers_ns) == (3 * S, 8 * S)


def test_an_attempt_that_is_dropped_in_time_was_never_there() -> None:
    clock = GpuClock(0)
    for number in range(3):
        clock.open(number, 0)
    clock.start(0)
    clock.start(1)
    # The second had begun, as far as was known, and the third had not.
    clock.drop(1)
    clock.drop(2)
    clock.drop(99)
    clock.end(0, 8 * S)
    assert settled(clock, 8 * S) == {0: 8 * S}
    assert (clock.idle_ns, clock.running) == (0, 0)


def test_an_attempt_that_is_over_and_not_settled_can_be_dropped() -> None:
    clock = GpuClock(0)
    clock.open(1, 0)
    clock.open(2, 0)
    clock.start(1)
    clock.end(1, 3 * S)
    assert settled(clock, 3 * S) == {}
    clock.drop(1)
    clock.end(2, 4 * S)
    assert settled(clock, 4 * S) == {2: 0}
    assert clock.idle_ns == clock.workers_ns == 3 * S


def test_an_attempt_that_ran_for_so_long_ended_so_long_after_its_start() -> None:
    clock = GpuClock(0)
    clock.open(1, 0)
    clock.queued(1, 2 * S)
    assert clock.ran_until_ns(1, 3 * S) is None
    clock.start(1)
    assert clock.ran_until_ns(1, 3 * S) == 5 * S
    assert clock.ran_until_ns(99, 3 * S) is None


def test_attempts_of_other_replicas_have_their_part() -> None:
    clock = GpuClock(0)
    clock.set_others(3, 0)
    clock.open(1, 0)
    clock.start(1)
    clock.end(1, 8 * S)
    assert settled(clock, 8 * S, workers=1) == {1: 2 * S}
    assert clock.others_ns == 6 * S


def test_a_share_is_estimated_while_it_is_not_settled() -> None:
    clock = GpuClock(0)
    assert clock.share_ns(1, 5 * S) == 0
    clock.open(1, 0)
    assert clock.share_ns(1, 5 * S) == 0
    clock.start(1)
    assert clock.share_ns(1, 5 * S) == 5 * S
    clock.open(2, 0)
    clock.start(2)
    settled(clock, 4 * S, workers=1)
    assert clock.share_ns(1, 6 * S) == 3 * S
    clock.end(1, 5 * S)
    assert clock.share_ns(1, 60 * S) == 2 * S + S // 2


def test_what_is_not_divisible_is_carried_and_ends_as_idle() -> None:
    clock = GpuClock(0)
    for number in range(3):
        clock.open(number, 0)
        clock.start(number)
    settled(clock, 10, workers=1)
    assert clock.carry_ns == 1
    settled(clock, 11, workers=1)
    assert clock.carry_ns == 2
    for number in range(3):
        clock.end(number, 11)
    assert settled(clock, 11) == {0: 3, 1: 3, 2: 3}
    assert (clock.carry_ns, clock.idle_ns, clock.workers_ns) == (0, 2, 11)


def ran(clock: GpuClock, *times_s: tuple[float, float]) -> None:
    """Let attempts run from and until these times."""
    for number, (began_s, ended_s) in enumerate(times_s):
        clock.open(number, int(began_s * S))
        clock.start(number)
        clock.end(number, int(ended_s * S))


def test_time_waits_for_a_reading_while_there_are_more_attempts_than_workers() -> None:
    clock = GpuClock(0)
    clock.set_workers(1, 0)
    ran(clock, (0, 4), (2, 4), (2, 4))
    assert settled(clock, 5 * S) == {}
    assert clock.workers_ns == 2 * S
    # The workers that it shows came for the attempts that began at two seconds.
    assert settled(clock, 6 * S, workers=3) == {0: 4 * S, 1: 2 * S, 2: 2 * S}
    assert (clock.workers_ns, clock.idle_ns) == (8 * S + 2 * S, 2 * S)


def test_no_more_workers_are_taken_to_have_come_than_attempts_have_use_for() -> None:
    clock = GpuClock(0)
    clock.set_workers(1, 0)
    ran(clock, (0, 4), (1, 4), (2, 4))
    assert settled(clock, 4 * S, workers=5) == {0: 4 * S, 1: 3 * S, 2: 2 * S}
    assert clock.idle_ns == 0


def test_workers_that_come_for_no_new_attempt_came_in_the_middle_between_two_readings() -> None:
    clock = GpuClock(0)
    clock.set_workers(1, 0)
    ran(clock, (0, 8), (0, 8))
    assert settled(clock, 2 * S, workers=1) == {}
    assert settled(clock, 4 * S, workers=2) == {}
    assert clock.workers_ns == 3 * S + 2 * S
    assert settled(clock, 8 * S) == {0: 6 * S + S // 2, 1: 6 * S + S // 2}


def test_an_attempt_that_comes_before_the_middle_is_earlier_evidence() -> None:
    clock = GpuClock(0)
    clock.set_workers(1, 0)
    ran(clock, (0, 8), (0, 8), (3, 8))
    settled(clock, 2 * S, workers=1)
    settled(clock, 6 * S, workers=3)
    assert clock.workers_ns == 3 * S + 3 * 3 * S


def test_a_reading_from_before_an_attempt_says_nothing_of_the_workers_that_it_needs() -> None:
    clock = GpuClock(0)
    clock.set_workers(1, 0)
    ran(clock, (0, 4), (1, 4))
    clock.advance(1 * S + S // 2)
    # Asked for before the second attempt, answered after its start.
    clock.set_workers(1, S // 2)
    assert settled(clock, 2 * S) == {}
    assert settled(clock, 4 * S, workers=2) == {0: 4 * S, 1: 3 * S}


def test_no_account_waits_for_ever_for_a_reading() -> None:
    clock = GpuClock(0)
    ran(clock, (0, 4), (0, 4))
    assert settled(clock, 8 * S) == {}
    assert dict(clock.advance(13 * S, waited_until_ns=3 * S)) == {}
    assert dict(clock.advance(14 * S, waited_until_ns=4 * S)) == {0: 2 * S, 1: 2 * S}


def test_attempts_that_run_are_counted_before_time_is_divided() -> None:
    clock = GpuClock(0)
    for number in range(4):
        clock.open(number, 0)
    for number in range(3):
        clock.start(number, 5 * S)
    assert clock.running == 3
    clock.end(0, 6 * S)
    clock.drop(1)
    assert clock.running == 1


MOVES = st.lists(
    st.tuples(
        st.sampled_from(
            ["open", "queued", "start", "start late", "end", "drop", "workers", "stale workers", "advance"]
        ),
        st.integers(0, 7),
        st.integers(0, 5),
        st.integers(0, 1_000),
    ),
    max_size=120,
)
"""What happens to which attempt, a count, and how many nanoseconds pass before."""


@steady(400)
@given(MOVES)
def test_shares_and_idle_time_are_the_time_of_the_workers(moves: list[tuple[str, int, int, int]]) -> None:
    clock, now_ns = GpuClock(0), 0
    live: dict[int, int] = {}
    got: dict[int, int] = {}
    for kind, slot, count, passed_ns in moves:
        now_ns += passed_ns
        opened_ns = live.get(slot)
        number = slot + 10 * sum(each % 10 == slot for each in got)
        if kind == "open" and opened_ns is None:
            live[slot] = now_ns
            clock.open(number, now_ns)
        elif kind == "workers":
            clock.set_workers(count // 2, now_ns, is_sure=bool(count % 2))
        elif kind == "stale workers":
            clock.set_workers(count // 2, max(0, now_ns - 700))
        elif kind == "advance":
            got |= dict(clock.advance(now_ns, waited_until_ns=now_ns - 1000 * count if count else None))
        elif opened_ns is not None:
            if kind == "queued":
                clock.queued(number, now_ns)
            elif kind == "start":
                clock.start(number, now_ns)
            elif kind == "start late":
                clock.start(number, opened_ns)
            elif kind == "drop":
                clock.drop(number, now_ns if count % 2 else None)
                del live[slot]
                got[number] = 0
            elif kind == "end":
                clock.end(number, now_ns)
                got |= settled(clock, now_ns)
                del live[slot]
                got.setdefault(number, -1)
    for slot in live:
        number = slot + 10 * sum(each % 10 == slot for each in got)
        clock.end(number, now_ns)
    got |= settled(clock, now_ns, workers=1)
    assert all(share_ns >= 0 for share_ns in got.values())
    assert sum(got.values()) + clock.idle_ns + clock.carry_ns == clock.workers_ns


REPLICAS = 3


@steady(200)
@given(
    st.lists(
        st.tuples(st.integers(0, REPLICAS - 1), st.integers(0, 3), st.integers(0, 4), st.integers(0, 999)), max_size=60
    )
)
def test_replicas_that_know_of_each_other_divide_the_same_time(moves: list[tuple[int, int, int, int]]) -> None:
    """Each is told of the others' attempts when they begin and end, as heartbeats do."""
    clocks, now_ns, workers = [GpuClock(0) for _ in range(REPLICAS)], 0, 0
    running: list[list[int]] = [[] for _ in range(REPLICAS)]
    got: dict[Any, int] = {}
    number = 0

    def advance() -> None:
        for place, clock in enumerate(clocks):
            got.update({(place, each): share_ns for each, share_ns in clock.advance(now_ns)})

    for replica, move, count, passed_ns in moves:
        now_ns += passed_ns
        clock = clocks[replica]
        if move == 0:
            workers = count
            for each in clocks:
                each.set_workers(workers, now_ns)
        elif move == 1 and running[replica]:
            clock.end(running[replica].pop(), now_ns)
        else:
            number += 1
            clock.open(number, now_ns)
            clock.start(number)
            running[replica].append(number)
        for place, each in enumerate(clocks):
            each.set_others(sum(map(len, running)) - len(running[place]), now_ns)
        advance()
    for replica, clock in enumerate(clocks):
        for each in running[replica]:
            clock.end(each, now_ns)
    for clock in clocks:
        clock.set_workers(workers, now_ns)
    advance()
    first = clocks[0]
    assert len({clock.workers_ns for clock in clocks}) == 1
    assert sum(got.values()) + first.idle_ns + first.carry_ns == first.workers_ns
