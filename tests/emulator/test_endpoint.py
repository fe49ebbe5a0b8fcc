import anyio

from gateway.emulator.endpoint import Endpoint
from gateway.emulator.faults import FaultPlan, Faults
from gateway.emulator.limits import Limit, Operation
from gateway.emulator.settings import EmulatorSettings
from gateway.emulator.worker_pool import Worker
from gateway.wire.runpod import JobPolicy, JobState
from tests.emulator.support import HandClock


def an_endpoint(*, faults: Faults | None = None, **settings) -> tuple[Endpoint, HandClock]:
    clock = HandClock()
    plan = FaultPlan(faults or Faults())
    return Endpoint("ep", settings=EmulatorSettings(**settings), plan=plan, clock=clock), clock


def test_ids_are_unique_marked_for_runsync_and_carry_a_region():
    endpoint, _ = an_endpoint()
    ids = [endpoint.submit(b"{}").id, endpoint.submit(b"{}", is_sync=True).id]
    assert len(set(ids)) == 2
    assert [job_id.startswith("sync-") for job_id in ids] == [False, True]
    assert all(job_id.endswith("-u1") for job_id in ids)


def test_retention_is_half_an_hour_for_run_and_a_minute_for_runsync():
    endpoint, clock = an_endpoint()
    jobs = [endpoint.submit(b"{}", is_sync=is_sync) for is_sync in (False, True)]
    for job in jobs:
        endpoint.take("w")
        endpoint.complete(job, b"1")
    for seconds, kept in ((59.9, [True, True]), (0.1, [True, False]), (1739.9, [True, False]), (0.1, [False, False])):
        clock.s += seconds
        assert [endpoint.find(job.id) is not None for job in jobs] == kept


def test_policies_are_milliseconds_and_have_minimums():
    endpoint, _ = an_endpoint()
    terms = endpoint.submit(b"{}", policy=JobPolicy(ttl=20_000, execution_timeout=7_000)).terms
    assert (terms.ttl_s, terms.execution_timeout_s) == (20.0, 7.0)
    terms = endpoint.submit(b"{}", policy=JobPolicy(ttl=1, execution_timeout=1)).terms
    assert (terms.ttl_s, terms.execution_timeout_s) == (10.0, 5.0)
    terms = endpoint.submit(b"{}").terms
    assert (terms.ttl_s, terms.execution_timeout_s) == (86_400.0, 600.0)


def test_health_counts_jobs():
    endpoint, _ = an_endpoint()
    done, failed, lost, queued = (endpoint.submit(b"{}") for _ in range(4))
    for job in (done, failed, lost):
        assert endpoint.take("w") is job
    endpoint.complete(done, b"1")
    endpoint.fail(failed, "boom")
    endpoint.lose_worker(lost)
    endpoint.take("w")
    assert endpoint.health().jobs == {"completed": 1, "failed": 1, "inProgress": 1, "inQueue": 1, "retried": 1}
    assert queued.state is JobState.IN_QUEUE


def test_no_worker_gets_a_job_while_workers_are_down():
    endpoint, _ = an_endpoint(faults=Faults(workers_down="throttled"))
    job = endpoint.submit(b"{}")
    endpoint.hear_of("w")
    assert not endpoint.has_work
    assert endpoint.take("w") is None
    assert endpoint.health().workers["throttled"] == endpoint.settings.standby_workers
    endpoint.plan.replace(Faults())
    assert endpoint.take("w") is job


def test_a_silent_workers_jobs_are_dispatched_again():
    endpoint, clock = an_endpoint(worker_lost_s=30.0)
    endpoint.hear_of("dead")
    endpoint.hear_of("alive")
    lost, kept = endpoint.submit(b"{}"), endpoint.submit(b"{}")
    endpoint.take("dead")
    endpoint.take("alive")
    clock.s += 20
    endpoint.hear_of("alive")
    clock.s += 10.1
    endpoint.bury_lost_workers()
    assert (lost.state, lost.retries) == (JobState.IN_QUEUE, 1)
    assert kept.state is JobState.IN_PROGRESS
    assert endpoint.workforce.up_count() == 1


def test_a_silent_workers_stop_signals_are_forgotten_with_it():
    endpoint, clock = an_endpoint(worker_lost_s=30.0)
    endpoint.hear_of("dead")
    job = endpoint.submit(b"{}")
    endpoint.take("dead")
    endpoint.cancel(job)
    clock.s += 31
    endpoint.bury_lost_workers()
    assert endpoint.take_stops("dead") == []


def test_a_full_queue():
    endpoint, _ = an_endpoint(queued_jobs_max=1)
    assert not endpoint.is_full
    endpoint.submit(b"{}")
    assert endpoint.is_full
    endpoint.take("w")
    assert not endpoint.is_full


def test_limits_of_the_settings_come_before_the_published_ones():
    endpoint, _ = an_endpoint(limits={"run": Limit(per_10s=5)})
    assert endpoint.meter(Operation.RUN).limit == Limit(per_10s=5)
    assert endpoint.meter(Operation.CANCEL).limit == Limit(per_10s=100, concurrent=20)
    assert set(endpoint.meters) == {Operation.RUN, Operation.CANCEL}


async def test_waiting_for_a_job_ends_with_each_kind_of_news():
    endpoint, clock = an_endpoint()
    job = endpoint.submit(b"{}", policy=JobPolicy(execution_timeout=5_000))
    news = [
        lambda: endpoint.take("w"),
        lambda: endpoint.add_item(job, b'{"output":1}'),
        lambda: (setattr(clock, "s", clock.s + 5.0), endpoint.sweep()),
        lambda: endpoint.retry(job),
        endpoint.purge,
        endpoint.close,
    ]
    for tell in news:
        heard = False

        async def wait() -> None:
            nonlocal heard
            await endpoint.change(job)
            heard = True

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                assert not heard
                tell()
        assert heard


async def test_a_stopped_job_wakes_its_worker_only():
    endpoint, _ = an_endpoint()
    job = endpoint.submit(b"{}")
    endpoint.take("w")
    woken = []

    async def wait(worker_id: str) -> None:
        await endpoint.stop_signal(worker_id)
        woken.append((worker_id, endpoint.take_stops(worker_id)))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait, "w")
            group.start_soon(wait, "other")
            await anyio.wait_all_tasks_blocked()
            endpoint.cancel(job)
            await anyio.wait_all_tasks_blocked()
            assert woken == [("w", [job.id])]
            group.cancel_scope.cancel()


def test_a_closed_endpoint_has_no_jobs():
    endpoint, _ = an_endpoint()
    job = endpoint.submit(b"{}")
    endpoint.close()
    assert (job.is_deleted, endpoint.is_closed, endpoint.jobs()) == (True, True, [])


def test_a_sleeping_worker_takes_nothing_and_is_needed_when_a_job_waits():
    endpoint, _ = an_endpoint(standby_workers=1)
    worker = Worker(id="w", kind="scripted", condition="asleep", seen_s=0.0, sleeps=True)
    endpoint.workforce.add(worker, 0.0)
    assert not endpoint.needs(worker)
    job = endpoint.submit(b"{}")
    assert endpoint.needs(worker)
    assert endpoint.take("w") is None
    endpoint.change_worker(worker, "up")
    assert endpoint.take("w") is job


def test_no_worker_is_needed_while_workers_are_down():
    endpoint, _ = an_endpoint(standby_workers=1, faults=Faults(workers_down="throttled"))
    worker = Worker(id="w", kind="scripted", condition="asleep", seen_s=0.0, sleeps=True)
    endpoint.workforce.add(worker, 0.0)
    endpoint.submit(b"{}")
    assert not endpoint.needs(worker)
