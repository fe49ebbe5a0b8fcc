"""What is noted of jobs under way, and what becomes of their costs when the process ends."""

from typing import Any

import anyio
import httpx
import pytest

from gateway.config.keys import key_line
from gateway.endpoints.jobs_in_flight import InFlightCounts
from gateway.events import Event, GpuTimeSettled, JournalChanged
from gateway.jobs.journal import OpenJob
from tests.exchange.test_exchange import COMPLETION
from tests.factories import attempt, left_job
from tests.fakes.runpod import FakeRunpod
from tests.jobs.test_journal import Store
from tests.stacks import KEY
from tests.subject import PAGES, Subject, running


async def test_a_start_is_noted_for_whoever_has_to_end_the_job() -> None:
    runpod = FakeRunpod(pages=[*[("IN_QUEUE", [])] * 10, *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod) as subject:
        journal, clock = subject.gateway._jobs._journal, subject.gateway._clock
        journal._store = Store()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.call().run, subject.gateway.app)
            await anyio.sleep(1)
            (noted,) = journal._opened.values()
            assert noted.started_at_s is None
            await anyio.sleep(3)
            (noted,) = journal._opened.values()
            assert noted.started_at_s is not None
            assert noted.started_at_s == pytest.approx(clock.unix_s() - 2, abs=1.5)
            tasks.cancel_scope.cancel()


async def test_a_journal_that_cannot_be_written_is_an_event() -> None:
    async with running(FakeRunpod()) as subject:
        seen: list[Event] = []
        jobs, store = subject.gateway._jobs, Store()
        jobs._observe = seen.append
        for store.refuses in (False, True, False):
            await jobs._journal._write(store, jobs._inherit)
    assert seen == [JournalChanged(is_up=False, reason="refused"), JournalChanged(is_up=True, reason="")]


async def test_an_heir_knows_when_a_job_began() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(404, b"")], "status": [(404, b"")]}
    async with running(runpod) as subject:
        seen: list[Event] = []
        jobs, clock = subject.gateway._jobs, subject.gateway._clock
        jobs._cancels._observe = seen.append
        address = subject.gateway._upstreams["chat"].endpoint.address
        jobs._inherit(OpenJob(address, "j", "acme", clock.unix_s() + 100, started_at_s=clock.unix_s() - 20))
        await jobs.flush()
    assert [event.gpu_s for event in seen if isinstance(event, GpuTimeSettled)] == pytest.approx([20], abs=0.1)


async def settled_at_the_end(subject: Subject) -> list[str | None]:
    """The jobs that are charged when this process ends with one that runs, one that waits and one relayed request."""
    seen: list[Event] = []
    gateway = subject.gateway
    upstream, clock = gateway._upstreams["chat"], gateway._clock
    upstream.gpu._observe = seen.append
    for name in ("runs", "waits"):
        time = upstream.gpu.open(attempt(job_id=name), lambda _gpu_s: None)
        started_at_s = upstream.now_s if name == "runs" else None
        gateway._jobs._journal.opened(OpenJob(upstream.endpoint.address, name, "acme", clock.unix_s() + 100))
        gateway._jobs._cancels.add(upstream, left_job(name, time=time, started_at_s=started_at_s))
    upstream.gpu.open(attempt(job_id=None), lambda _gpu_s: None).started()
    await anyio.sleep(2)
    await gateway._jobs.aclose()
    return [event.attempt.job_id for event in seen if isinstance(event, GpuTimeSettled)]


@pytest.mark.parametrize("has_heir", [True, False])
async def test_costs_of_what_is_open_at_the_end_are_told_once(*, has_heir: bool) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(500, b"")] * 100}
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod) as subject:
        subject.gateway._jobs._journal._store = Store() if has_heir else None
        told = await settled_at_the_end(subject)
    # An heir cancels the jobs, and charges them by Runpod's account.
    assert sorted(map(str, told)) == (["None"] if has_heir else ["None", "runs", "waits"])


async def test_all_that_is_open_is_left_to_others_however_much_it_is() -> None:
    async with running(FakeRunpod()) as subject:
        journal, store = subject.gateway._jobs._journal, Store()
        journal._store = store
        for number in range(2500):
            journal.opened(OpenJob("http://x ep1", f"job-{number}", "acme", 1e12))
        await subject.gateway._jobs.aclose()
    assert len(store.jobs) == 2500
    assert [entry.is_leaving for entry in store.entries][-1]
    assert sum(entry.is_leaving for entry in store.entries) == 1


async def test_a_job_that_was_left_holds_seat_and_place_until_runpod_confirmed_its_end() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [])] * 10_000)
    runpod.answers = {"cancel": [(500, b""), (429, b""), (200, b'{"status":"IN_PROGRESS"}')]}
    runpod.status = {"status": "IN_PROGRESS"}
    tenants = [{"name": "acme", "keys": [key_line(KEY)], "max_in_flight": 1}]
    async with running(runpod, tenants=tenants) as subject:
        call = subject.call(stream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(1)
            call.leave()
        refused = []
        upstream = subject.gateway._upstreams["chat"]
        while runpod.running:
            assert subject.held()["work held"] == {"acme": 1}
            assert upstream.workers.jobs_in_flight.count(upstream.now_s) == InFlightCounts(sure=0, all=1)
            refused.append((await subject.post()).status)
            await anyio.sleep(0.25)
        await subject.gateway._jobs.flush()
        assert subject.held() == {}
        assert upstream.workers.jobs_in_flight.count(upstream.now_s).all == 0
        runpod.pages = list(PAGES)
        assert (await subject.post(stream=True)).status == 200
    assert set(refused) == {429}


@pytest.mark.parametrize("failure", [(500, b""), httpx.ConnectError("no")])
async def test_a_job_that_cannot_be_cancelled_holds_its_seat_until_its_ttl(failure: Any) -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [])] * 10_000)
    runpod.answers = {"cancel": [failure] * 10_000}
    runpod.status = {"status": "IN_PROGRESS"}
    endpoint = {"cold_start_timeout_s": 30, "execution_timeout_s": 30}
    async with running(runpod, endpoint=endpoint) as subject:
        call = subject.call(stream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(1)
            call.leave()
        await anyio.sleep(40)
        assert subject.held()["work held"] == {"acme": 1}
        await anyio.sleep(200)
        assert "work held" not in subject.held()


async def test_a_dead_process_s_job_holds_a_seat_and_a_place_of_its_tenant_until_it_is_over() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(500, b"")] * 3}
    runpod.status = {"status": "IN_PROGRESS"}
    tenants = [{"name": "acme", "keys": [key_line(KEY)], "max_in_flight": 2}]
    async with running(runpod, tenants=tenants, endpoint={"max_in_flight": 1}) as subject:
        jobs, clock = subject.gateway._jobs, subject.gateway._clock
        address = subject.gateway._upstreams["chat"].endpoint.address
        for name in ("j", "k"):
            jobs._inherit(OpenJob(address, name, "acme", clock.unix_s() + 100))
        jobs._inherit(OpenJob(address, "l", "a-tenant-that-was-removed", clock.unix_s() + 100))
        assert subject.held()["work held"] == {"acme": 2, "a-tenant-that-was-removed": 1}
        upstream = subject.gateway._upstreams["chat"]
        assert upstream.workers.jobs_in_flight.count(upstream.now_s) == InFlightCounts(sure=0, all=3)
        assert (await subject.post()).status == 429
        await jobs.flush()
        assert "work held" not in subject.held()
        assert upstream.workers.jobs_in_flight.count(upstream.now_s).all == 0
        runpod.pages = list(PAGES)
        assert (await subject.post(stream=True)).status == 200


class Cancelling(FakeRunpod):
    """One whose first job runs without output until it is cancelled; the next one answers."""

    is_cancelled = False

    def _page(self, job_id: str) -> dict[str, Any]:
        if job_id != "job-1":
            return super()._page(job_id)
        return {"status": "CANCELLED" if self.is_cancelled else "IN_PROGRESS", "stream": []}

    def _answer(self, operation: str, job_id: str) -> tuple[int, list[bytes]]:
        if operation == "status" and job_id == "job-1":
            return 200, [b'{"id":"job-1","status":"CANCELLED"}']
        return super()._answer(operation, job_id)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_job_without_output_that_another_process_cancelled_is_sent_again(stream: bool) -> None:
    runpod = Cancelling(pages=list(PAGES) if stream else [("COMPLETED", [COMPLETION])])
    async with running(runpod) as subject, anyio.create_task_group() as tasks:
        store, journal = Store(), subject.gateway._jobs._journal
        journal._store = store
        tasks.start_soon(journal.run, subject.gateway._jobs._inherit)
        tasks.start_soon((call := subject.call(stream=stream)).run, subject.gateway.app)
        await anyio.sleep(1)
        store.taken = list(journal._open)
        await anyio.sleep(1)
        runpod.is_cancelled = True
        with anyio.fail_after(10):
            while not call.is_complete:
                await anyio.sleep(0.1)
        assert call.status == 200
        assert runpod.count("run") == 2
        assert not journal.taken
        tasks.cancel_scope.cancel()


async def test_a_client_that_has_output_is_told_why_there_is_no_more() -> None:
    runpod = FakeRunpod(pages=[*PAGES[:2], *[("IN_PROGRESS", [])] * 10, ("CANCELLED", [])])
    runpod.status = {"status": "CANCELLED"}
    async with running(runpod) as subject, anyio.create_task_group() as tasks:
        store, journal = Store(), subject.gateway._jobs._journal
        journal._store = store
        tasks.start_soon(journal.run, subject.gateway._jobs._inherit)
        tasks.start_soon((call := subject.call(stream=True)).run, subject.gateway.app)
        await anyio.sleep(0.5)
        store.taken = list(journal._open)
        with anyio.fail_after(60):
            while not call.is_complete:
                await anyio.sleep(0.1)
        assert "considered it dead" in call.events[-1]["error"]["message"]
        assert runpod.count("run") == 1
        tasks.cancel_scope.cancel()


async def test_a_job_that_somebody_else_cancelled_is_a_failure_as_before() -> None:
    runpod = FakeRunpod(pages=[("CANCELLED", [])])
    runpod.status = {"status": "CANCELLED"}
    async with running(runpod) as subject, anyio.create_task_group() as tasks:
        journal = subject.gateway._jobs._journal
        journal._store = Store()
        tasks.start_soon(journal.run, subject.gateway._jobs._inherit)
        call = await subject.post()
        assert (call.status, call.json["error"]["message"]) == (502, "The job was cancelled at Runpod.")
        assert runpod.count("run") == 1
        tasks.cancel_scope.cancel()
