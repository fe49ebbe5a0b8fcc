from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fairshare.replica_jobs import AbandonedElsewhere, JobsAmongReplicas, ReplicaJobs, TimedJobs

JOBS = {"ep1": ReplicaJobs([1], [2], [AbandonedElsewhere(40.0, 50.0)])}


class Replica:
    """One of two, with a clock of its own and a network that is slow in both directions."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s
        """Of its own clock, before the store's."""
        self.heard: list[tuple[Sequence[TimedJobs], int]] = []
        self.jobs = JobsAmongReplicas()
        self.jobs.watch(lambda: JOBS, lambda reports, silent: self.heard.append((reports, silent)))

    def beat(self, store_s: float, way_s: float, back_s: float, told: list[TimedJobs | None]) -> None:
        sent_at_s, received_at_s = (at_s + self.ahead_s for at_s in (store_s - way_s, store_s + back_s))
        self.jobs.receive(told, store_s=store_s, sent_at_s=sent_at_s, received_at_s=received_at_s)


WAYS_S = st.floats(0, 2)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), WAYS_S, WAYS_S, WAYS_S, WAYS_S)
def test_a_report_was_made_in_the_time_that_its_reader_is_told(
    teller_s: float, reader_s: float, way_a: float, back_a: float, way_b: float, back_b: float
) -> None:
    teller, reader = Replica(teller_s), Replica(reader_s)
    teller.beat(1000.0, way_a, back_a, [])
    told = teller.jobs.report(1010.0 + teller_s)
    reader.beat(1011.0, way_b, back_b, [told])
    (found,), silent = reader.heard[-1]
    made_at_s, much_s = 1010.0 + reader_s, way_a + back_a + way_b + back_b
    assert silent == 0
    assert found.from_s <= made_at_s + 1e-6
    assert found.until_s >= made_at_s - 1e-6
    assert found.until_s - found.from_s == pytest.approx(much_s, abs=1e-6)
    # What readings say of it begins with the latest time at which it may have been abandoned.
    (left,) = found.jobs["ep1"].abandoned
    assert left.since_s >= 40.0 - teller_s + reader_s - 1e-6
    assert left.expected_at == 50.0
    assert (found.jobs["ep1"].sure, found.jobs["ep1"].all) == ([1], [2])


def test_who_does_not_know_the_stores_time_tells_nothing_and_is_counted_as_silent() -> None:
    replica = Replica(0.0)
    assert replica.heard == [((), 1)]
    assert replica.jobs.report(5.0) is None
    replica.beat(10.0, 0.0, 0.0, [None, None])
    assert replica.heard[-1] == ([], 2)
    assert replica.jobs.report(11.0) is not None
    replica.jobs.disconnected()
    assert replica.heard[-1] == ((), 1)
