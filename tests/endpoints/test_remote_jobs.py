from gateway.endpoints.jobs_in_flight import InFlightCounts
from gateway.endpoints.remote_jobs import GONE_S, RemoteJobs
from gateway.fairshare.replica_jobs import AbandonedElsewhere, ReplicaJobs, TimedJobs

ADDRESS = "runpod/ep1"


def report(from_s: float, until_s: float, *, sure: list[int], every: list[int]) -> TimedJobs:
    return TimedJobs(from_s, until_s, {ADDRESS: ReplicaJobs(sure, every)})


def test_nothing_is_known_until_every_replica_has_reported_since() -> None:
    elsewhere = RemoteJobs()
    assert elsewhere.is_known(10.0)
    elsewhere.note([report(10.0, 10.1, sure=[], every=[])], silent=1)
    assert not elsewhere.is_known(9.0)
    elsewhere.note([report(10.0, 10.1, sure=[], every=[]), report(9.5, 9.6, sure=[], every=[])])
    assert elsewhere.is_known(9.5)
    assert not elsewhere.is_known(9.6)


def test_only_those_are_sure_that_were_there_at_the_reading_and_are_there_in_the_report() -> None:
    elsewhere = RemoteJobs()
    elsewhere.note([report(10.0, 10.04, sure=[9, 7, 5, 3], every=[10, 8, 6, 4])])
    # The report may be 0.25 s to 0.29 s younger than the reading: 0.3 s before it is surely not after the reading.
    assert elsewhere.jobs_in_flight(ADDRESS, 9.75, settled_at_s=9.85).sure == 3
    assert elsewhere.jobs_in_flight(ADDRESS, 9.95, settled_at_s=10.0).sure == 7
    # Older than all that is told.
    assert elsewhere.jobs_in_flight(ADDRESS, 9.0, settled_at_s=9.1) == InFlightCounts(sure=0, all=0)


def test_a_report_before_the_ends_were_seen_makes_none_sure() -> None:
    elsewhere = RemoteJobs()
    elsewhere.note([report(10.0, 10.0, sure=[9, 7], every=[10, 8])])
    assert elsewhere.jobs_in_flight(ADDRESS, 9.98, settled_at_s=10.08) == InFlightCounts(sure=0, all=10)
    assert elsewhere.jobs_in_flight(ADDRESS, 11.0, settled_at_s=11.1) == InFlightCounts(sure=0, all=10)


def test_replicas_are_added_up_and_endpoints_kept_apart() -> None:
    elsewhere = RemoteJobs()
    left = [AbandonedElsewhere(1.0, 2.0)]
    elsewhere.note(
        [
            report(10.0, 10.0, sure=[2, 2], every=[3, 3]),
            TimedJobs(10.0, 10.0, {ADDRESS: ReplicaJobs([1, 1], [1, 1], left), "other": ReplicaJobs([5], [5])}),
        ]
    )
    assert elsewhere.jobs_in_flight(ADDRESS, 9.95, settled_at_s=10.0) == InFlightCounts(sure=3, all=4)
    assert elsewhere.abandoned(ADDRESS) == left
    assert elsewhere.abandoned("other") == []
    assert elsewhere.jobs_in_flight("none", 9.95, settled_at_s=10.0) == InFlightCounts(sure=0, all=0)


def test_until_when_others_had_abandoned_attempts_is_the_last_that_any_told() -> None:
    elsewhere = RemoteJobs()
    elsewhere.note(
        [
            TimedJobs(10.0, 10.0, {ADDRESS: ReplicaJobs([], [], [], until_s), "other": ReplicaJobs([], [])})
            for until_s in (7.0, 9.0, None)
        ]
    )
    assert elsewhere.abandoned_until_s(ADDRESS) == 9.0
    assert elsewhere.abandoned_until_s("other") == float("-inf")
    elsewhere.note([], silent=1, now_s=20.0)
    assert elsewhere.abandoned_until_s("other") == float("inf")
    # Two are gone: what they left at Runpod, no one reports.
    elsewhere.note([report(21.0, 21.0, sure=[], every=[])], now_s=21.0)
    assert elsewhere.abandoned_until_s("other") == 20.0 + GONE_S
