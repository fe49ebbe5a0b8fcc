import msgspec

from gateway.admission.replica_reports import ReplicaReports
from gateway.fairshare.quota import QuotaUse
from gateway.fairshare.remote_usage import Report, TenantUse
from gateway.fairshare.replica_jobs import TimedJobs

USE, QUOTA = TenantUse(1.0, 2, 3, 4.0), QuotaUse(requests=1, tokens=2, in_flight=3)
JOBS = TimedJobs(1.0, 2.0, {})


def encoded(**reports: Report) -> dict[str, bytes]:
    return {name: msgspec.msgpack.encode(report) for name, report in reports.items()}


def test_a_restarted_process_is_another_one_for_totals_but_not_for_the_split() -> None:
    reports = ReplicaReports()
    for incarnation in ("1", "2"):
        reports.receive(encoded(r=Report(incarnation, gates={"work": {"a": USE}})))
        assert reports.gate_uses("work") == {"r": {"a": USE}}
        assert reports.gate_uses_by_incarnation("work") == {f"r {incarnation}": {"a": USE}}
    assert reports.gate_uses("calls") == {"r": {}}


def test_only_a_process_that_reported_before_is_known() -> None:
    reports = ReplicaReports()
    reports.receive(encoded(r=Report("1")))
    assert reports.known == frozenset()
    reports.receive(encoded(r=Report("1"), s=Report("1")))
    assert reports.known == {"r 1"}
    reports.expire()
    reports.receive(encoded(r=Report("2")))
    assert reports.known == {"r 1", "s 1"}


def test_a_tenant_that_is_not_reported_any_more_is_yielded_once() -> None:
    reports = ReplicaReports()
    reports.receive(encoded(r=Report("1", quotas={"a": QUOTA}), s=Report("1")))
    assert dict(reports.quota_uses()) == {"a": {"r 1": QUOTA}}
    reports.receive(encoded(s=Report("1")))
    assert dict(reports.quota_uses()) == {"a": {}}
    reports.receive(encoded(s=Report("1")))
    assert dict(reports.quota_uses()) == {}


def test_the_attempts_that_run_are_added_up_until_the_reports_expire() -> None:
    reports = ReplicaReports()
    reports.receive(encoded(r=Report("1", running={"x": 1, "y": 2}), s=Report("1", running={"x": 3}, jobs=JOBS)))
    assert reports.running() == {"x": 4, "y": 2}
    assert reports.jobs() == [None, JOBS]
    reports.expire()
    assert (reports.names, reports.running(), reports.jobs()) == (frozenset(), {}, [])


def test_reports_that_cannot_be_read_are_counted_and_skipped() -> None:
    reports = ReplicaReports()
    assert reports.receive({**encoded(old=Report("1"), new=Report("1", version=2)), "damaged": b"\xc1"}) == 2
    assert reports.names == {"old"}
