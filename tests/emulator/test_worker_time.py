import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.emulator.job import Job, Occupancy, Terms
from gateway.emulator.worker_time import NS_PER_S, Usage, WorkerTime, to_ns

TERMS = Terms(ttl_s=1e6, execution_timeout_s=1e6, retention_s=1e6)
WORKERS = ["a", "b", "c"]


def a_job(name: str = "j") -> Job:
    return Job(id=name, input=b"{}", terms=TERMS, submitted_s=0.0)


def seconds(usage: Usage) -> tuple[float, float, float]:
    return usage.starting_ns / NS_PER_S, usage.busy_ns / NS_PER_S, usage.idle_ns / NS_PER_S


def test_each_kind_of_time_is_counted_by_itself_and_until_now():
    time = WorkerTime()
    time.change("w", "starting", 10.0)
    assert seconds(time.usage(11.0)) == (1, 0, 0)
    time.change("w", "up", 12.0)
    job = a_job()
    time.begin(job, "w", 13.0)
    assert seconds(time.usage(15.0)) == (2, 2, 1)
    time.end(job, 16.0)
    time.change("w", "off", 21.0)
    assert seconds(time.usage(100.0)) == (2, 3, 6)
    assert time.usage(100.0).total_ns == 11 * NS_PER_S


def test_reading_changes_nothing():
    time = WorkerTime()
    time.change("w", "up", 0.0)
    assert [seconds(time.usage(now_s)) for now_s in (1.0, 1.0, 2.0)] == [(0, 0, 1), (0, 0, 1), (0, 0, 2)]


def test_a_worker_with_several_jobs_is_busy_once_and_each_job_has_an_even_share():
    time = WorkerTime()
    time.change("w", "up", 0.0)
    jobs = [a_job("long"), a_job("short"), a_job("later")]
    time.begin(jobs[0], "w", 0.0)
    time.begin(jobs[1], "w", 4.0)
    assert time.jobs_count("w") == 2
    time.end(jobs[1], 6.0)
    time.begin(jobs[2], "w", 6.0)
    time.end(jobs[0], 10.0)
    time.end(jobs[2], 11.0)
    assert seconds(time.usage(11.0)) == (0, 11, 0)
    stays = [job.occupancies[0] for job in jobs]
    assert [stay.share_ns / NS_PER_S for stay in stays] == [7, 1, 3]
    assert [stay.jobs_count for stay in stays] == [3, 2, 2]


def test_an_interval_that_lasts_is_shown_and_not_kept():
    time, job = WorkerTime(), a_job()
    time.begin(job, "w", 1.0)
    (stay,) = time.occupancies(job, 3.0)
    assert stay == Occupancy(worker_id="w", started_ns=NS_PER_S, ended_ns=None, jobs_count=1, share_ns=2 * NS_PER_S)
    assert job.occupancies == []
    time.end(job, 4.0)
    assert time.occupancies(job, 9.0) == job.occupancies
    assert job.occupancies[0].ended_ns == 4 * NS_PER_S


def test_a_job_that_is_dispatched_again_has_an_interval_for_each_time():
    time, job = WorkerTime(), a_job()
    for worker_id, begun_s in (("a", 0.0), ("b", 5.0)):
        time.begin(job, worker_id, begun_s)
        time.end(job, begun_s + 1)
    assert [stay.worker_id for stay in job.occupancies] == ["a", "b"]


def test_a_worker_is_idle_since_it_came_up_or_had_its_last_job():
    time, job = WorkerTime(), a_job()
    assert time.idle_since_ns("w") is None
    time.change("w", "starting", 1.0)
    assert time.idle_since_ns("w") is None
    time.change("w", "up", 2.0)
    assert time.idle_since_ns("w") == 2 * NS_PER_S
    time.begin(job, "w", 3.0)
    assert time.idle_since_ns("w") is None
    time.end(job, 4.0)
    assert time.idle_since_ns("w") == 4 * NS_PER_S


def test_a_worker_that_was_never_heard_of_is_billed_for_its_jobs_alone_and_then_forgotten():
    time, job = WorkerTime(), a_job()
    time.begin(job, "w", 1.0)
    time.end(job, 2.0)
    assert seconds(time.usage(9.0)) == (0, 1, 0)
    assert time.jobs_count("w") == 0
    assert time._accounts == {}


STEP = st.tuples(st.floats(0, 10), st.sampled_from(WORKERS), st.sampled_from(["off", "starting", "up", "begin", "end"]))


@given(st.lists(STEP, max_size=60))
def test_the_kinds_add_up_to_the_time_of_the_workers_and_the_shares_to_the_time_with_jobs(steps):
    time, now_s = WorkerTime(), 100.0
    conditions = dict.fromkeys(WORKERS, "off")
    there: dict[str, list[Job]] = {worker_id: [] for worker_id in WORKERS}
    jobs: list[Job] = []
    billed_ns = 0
    for wait_s, worker_id, what in steps:
        before_ns, now_s = to_ns(now_s), now_s + wait_s
        billed_ns += sum((to_ns(now_s) - before_ns) for each in WORKERS if there[each] or conditions[each] != "off")
        if what == "begin":
            jobs.append(a_job(str(len(jobs))))
            there[worker_id].append(jobs[-1])
            time.begin(jobs[-1], worker_id, now_s)
        elif what == "end":
            if there[worker_id]:
                time.end(there[worker_id].pop(0), now_s)
        else:
            conditions[worker_id] = what
            time.change(worker_id, what, now_s)
    usage = time.usage(now_s)
    assert usage.total_ns == billed_ns
    stays = [stay for job in jobs for stay in time.occupancies(job, now_s)]
    assert len(stays) == len(jobs)
    assert usage.busy_ns == sum(_covered_ns(stays, worker_id, to_ns(now_s)) for worker_id in WORKERS)
    assert usage.busy_ns - len(stays) <= sum(stay.share_ns for stay in stays) <= usage.busy_ns
    for stay in stays:
        assert abs(stay.share_ns - _share_ns(stay, stays, to_ns(now_s))) <= 1


def _cuts(stays: list[Occupancy], now_ns: int) -> list[int]:
    return sorted({at for stay in stays for at in (stay.started_ns, _end_ns(stay, now_ns))})


def _end_ns(stay: Occupancy, now_ns: int) -> int:
    return now_ns if stay.ended_ns is None else stay.ended_ns


def _there_at(stays: list[Occupancy], worker_id: str, at_ns: int, now_ns: int) -> int:
    return sum(stay.worker_id == worker_id and stay.started_ns <= at_ns < _end_ns(stay, now_ns) for stay in stays)


def _covered_ns(stays: list[Occupancy], worker_id: str, now_ns: int) -> int:
    """The time in which a worker has jobs, from the intervals of the jobs alone."""
    cuts = _cuts(stays, now_ns)
    return sum(later - at for at, later in itertools.pairwise(cuts) if _there_at(stays, worker_id, at, now_ns))


def _share_ns(mine: Occupancy, stays: list[Occupancy], now_ns: int) -> Fraction:
    """One job's even share, from the intervals of the jobs alone."""
    cuts = _cuts(stays, now_ns)
    return sum(
        (
            Fraction(later - at, _there_at(stays, mine.worker_id, at, now_ns))
            for at, later in itertools.pairwise(cuts)
            if mine.started_ns <= at < _end_ns(mine, now_ns)
        ),
        Fraction(0),
    )
