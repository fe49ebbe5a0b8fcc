from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from gateway.config.keys import key_line
from gateway.endpoints.gpu_time import DOUBT_S_MAX
from gateway.events import Broke, CallOutcome, Event, JobCancelled
from gateway.jobs.canceller import Canceller
from tests.factories import attempt, left_job, tenant
from tests.fakes.runpod import FakeRunpod
from tests.subject import Subject, running


def queue_of(subject: Subject) -> Canceller:
    return subject.gateway._jobs._cancels


async def cancelled(subject: Subject, *jobs: Any, seconds: float = 5) -> list[JobCancelled]:
    """Cancel these jobs and wait until that is over."""
    queue, seen = queue_of(subject), list[Event]()
    queue._observe = seen.append
    for job in jobs:
        queue.add(subject.gateway._upstreams["chat"], job)
    with anyio.fail_after(seconds):
        await queue.flush()
    return [event for event in seen if isinstance(event, JobCancelled)]


async def outcomes(subject: Subject, *job_ids: str) -> list[CallOutcome]:
    return [event.outcome for event in await cancelled(subject, *map(left_job, job_ids))]


async def test_a_job_is_cancelled_once_however_often_it_is_added() -> None:
    runpod = FakeRunpod()
    async with running(runpod) as subject:
        assert await outcomes(subject, "a", "a", "b") == [CallOutcome.OK, CallOutcome.OK]
    assert sorted(job_id for operation, job_id in runpod.calls if operation == "cancel") == ["a", "b"]


async def test_what_a_job_occupies_is_given_back_once_however_often_it_is_added() -> None:
    released: list[str] = []
    async with running(FakeRunpod()) as subject:
        first = left_job("a", release=lambda: released.append("first"))
        again = left_job("a", release=lambda: released.append("again"))
        queue = queue_of(subject)
        for job in (first, again):
            queue.add(subject.gateway._upstreams["chat"], job)
        assert released == ["again"]
        await queue.flush()
    assert released == ["again", "first"]


async def test_a_job_that_is_gone_needs_no_cancel() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(404, b"")], "status": [(404, b"")]}
    async with running(runpod) as subject:
        assert await outcomes(subject, "a") == [CallOutcome.GONE]


@pytest.mark.parametrize(
    "failure",
    [
        (429, b""),
        (500, b"<html>"),
        httpx.ReadError("broken"),
        httpx.ConnectError("no"),
        # Taken, and not yet done: it has to be asked about again.
        (200, b'{"status":"IN_PROGRESS"}'),
    ],
)
async def test_a_cancel_that_came_to_nothing_is_made_again(failure: Any) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [failure]}
    async with running(runpod) as subject:
        assert await outcomes(subject, "a") == [CallOutcome.OK]
    assert runpod.count("cancel") == 2


async def test_patience_with_a_failing_cancel_ends_with_the_ttl_of_its_job() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(500, b"")] * 10}
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod) as subject:
        job = left_job("a", expires_at_s=subject.gateway._clock.monotonic_s() + 2.0)
        (event,) = await cancelled(subject, job)
    assert event.outcome is CallOutcome.FAILED
    assert event.saved_s == 0
    assert runpod.count("cancel") == 3


async def test_the_job_with_the_most_work_ahead_goes_first() -> None:
    runpod = FakeRunpod()
    async with running(runpod, endpoint={"limits": {"cancel": {"per_10s": 100, "concurrent": 1}}}) as subject:
        now_s, queue = subject.gateway._clock.monotonic_s(), queue_of(subject)
        queue._executions.note("long", "chat", 100.0)
        queue._executions.note("short", "chat", 10.0)
        jobs = [
            left_job("first", tenant=tenant(name="short")),
            left_job("nearly-done", tenant=tenant(name="long"), started_at_s=now_s - 99),
            left_job("begun", tenant=tenant(name="short"), started_at_s=now_s - 5),
            left_job("waiting", tenant=tenant(name="long")),
        ]
        await cancelled(subject, *jobs)
    order = [job_id for operation, job_id in runpod.calls if operation == "cancel"]
    assert [each for each in order if each in {"waiting", "nearly-done"}] == ["waiting", "nearly-done"]
    assert [each for each in order if each in {"first", "begun"}] == ["first", "begun"]


async def test_what_a_cancelled_job_cost_and_saved_is_told() -> None:
    runpod = FakeRunpod()
    runpod.status = {"status": "CANCELLED", "executionTime": 4000}
    async with running(runpod) as subject:
        upstream, settled = subject.gateway._upstreams["chat"], list[float]()
        upstream.gpu_means.note("acme", "chat", 10.0)
        time = upstream.gpu.open(attempt(), settled.append)
        time.started()
        (event,) = await cancelled(subject, left_job("a", started_at_s=upstream.now_s, time=time))
        (orphan,) = await cancelled(subject, left_job("b", is_orphan=True))
    assert event.execution_s == 4.0
    # It began a moment ago by what was seen of it, and what was not seen is not charged.
    assert event.gpu_s == pytest.approx(settled[0], abs=0.01)
    assert event.saved_s == pytest.approx(10.0 - event.gpu_s)
    assert (orphan.gpu_s, orphan.saved_s) == (4.0, 6.0)


async def test_a_cost_that_runpod_does_not_tell_is_estimated() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"status": [(404, b""), (404, b"")]}
    async with running(runpod) as subject:
        now_s = subject.gateway._clock.monotonic_s()
        never, begun = await cancelled(subject, left_job("a"), left_job("b", started_at_s=now_s - 300))
    assert (never.gpu_s, never.execution_s) == (0.0, None)
    assert begun.execution_s is None
    assert 300 <= begun.gpu_s < 400


async def test_a_burst_keeps_to_the_budget() -> None:
    runpod = FakeRunpod()
    async with running(runpod, endpoint={"limits": {"cancel": {"per_10s": 200, "concurrent": 2}}}) as subject:
        gate, queue = subject.gateway._upstreams["chat"].gates.calls["cancel"], queue_of(subject)
        for number in range(20):
            queue.add(subject.gateway._upstreams["chat"], left_job(f"job-{number}"))
        assert queue.pending() == {"chat": 20}
        held = []
        with anyio.fail_after(10):
            while runpod.count("cancel") < 20:
                held.append(sum(gate.held.values()))
                await anyio.lowlevel.checkpoint()
            await queue.flush()
    assert max(held) <= 2
    assert queue.pending() == {"chat": 0}


async def test_a_job_that_was_over_by_itself_saved_nothing() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(200, b'{"status":"COMPLETED","executionTime":4000}')]}
    async with running(runpod) as subject:
        subject.gateway._upstreams["chat"].gpu_means.note("acme", "chat", 10.0)
        (event,) = await cancelled(subject, left_job("a"))
    assert (event.outcome, event.gpu_s, event.saved_s) == (CallOutcome.OK, 4.0, 0.0)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [((200, b'{"status":"COMPLETED"}'), CallOutcome.OK), ((404, b""), CallOutcome.GONE)],
)
async def test_a_job_that_is_over_is_not_cancelled_for_ever(status: Any, outcome: CallOutcome) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(400, b"the job is over")] * 10, "status": [status]}
    async with running(runpod) as subject:
        assert await outcomes(subject, "a") == [outcome]
    assert runpod.count("cancel") == 2


async def test_a_cancel_that_fails_holds_up_no_other_attempt_s_account() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(500, b"")] * 2}
    async with running(runpod) as subject:
        gpu, settled = subject.gateway._upstreams["chat"].gpu, list[float]()
        left = gpu.open(attempt(number=1), lambda _gpu_s: None)
        other = gpu.open(attempt(number=2), settled.append)
        other.started()
        await anyio.sleep(0.01)
        other.ended()
        assert settled == []
        queue_of(subject).add(subject.gateway._upstreams["chat"], left_job("a", time=left))
        with anyio.fail_after(20):
            while not settled:
                await anyio.sleep(0.01)
                gpu.advance()
            await queue_of(subject).flush()


async def test_a_job_whose_start_was_seen_is_charged_although_its_client_left_just_then() -> None:
    runpod = FakeRunpod()
    runpod.status = {"status": "CANCELLED", "executionTime": 4000}
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        time = upstream.gpu.open(attempt(), lambda _gpu_s: None)
        await anyio.sleep(0.01)
        (event,) = await cancelled(subject, left_job("a", started_at_s=upstream.now_s, time=time))
    assert event.gpu_s > 0


@pytest.mark.parametrize("has_turn", [True, False])
async def test_cancels_that_wait_for_their_budget_hold_up_no_other_attempt_s_account(*, has_turn: bool) -> None:
    """As many as Runpod takes in minutes, or a budget of which no turn comes."""
    runpod = FakeRunpod()
    runpod.status = {"status": "IN_QUEUE"}
    async with running(runpod, endpoint={"limits": {"cancel": {"per_10s": 1, "concurrent": 1}}}) as subject:
        upstream, settled = subject.gateway._upstreams["chat"], list[float]()
        if not has_turn:
            runpod.answers = {"cancel": [(429, b"")]}
        lefts = [upstream.gpu.open(attempt(number=number), lambda _gpu_s: None) for number in range(5)]
        for number, each in enumerate(lefts):
            queue_of(subject).add(upstream, left_job(f"job-{number}", time=each))
        other = upstream.gpu.open(attempt(number=9), settled.append)
        other.started()
        await anyio.sleep(1)
        other.ended()
        assert settled == []
        await anyio.sleep(DOUBT_S_MAX + 3)
        assert settled == pytest.approx([1], abs=0.01)
        assert queue_of(subject).pending()["chat"] > 1


async def test_a_start_that_was_seen_is_charged_from_then_although_cancels_fail() -> None:
    runpod = FakeRunpod()
    runpod.status = {"status": "IN_PROGRESS"}
    runpod.answers = {"cancel": [(500, b"")] * 2}
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        time = upstream.gpu.open(attempt(), lambda _gpu_s: None)
        await anyio.sleep(2)
        began_s = upstream.now_s - 2
        (event,) = await cancelled(subject, left_job("a", started_at_s=upstream.now_s, time=time))
        assert event.gpu_s == pytest.approx(upstream.now_s - began_s, abs=0.1)


@pytest.mark.parametrize("delay_ms", [None, 300])
async def test_a_look_that_finds_a_job_with_a_worker_dates_its_start(delay_ms: int | None) -> None:
    runpod = FakeRunpod()
    runpod.status = {"status": "IN_PROGRESS", "delayTime": delay_ms}
    runpod.answers = {"cancel": [(500, b"")] * 6}
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        accepted_s = upstream.now_s
        time = upstream.gpu.open(attempt(), lambda _gpu_s: None)
        job = left_job("a", accepted_at_s=accepted_s, time=time)
        (event,) = await cancelled(subject, job, seconds=60)
        ran_s = upstream.now_s - accepted_s - (0 if delay_ms is None else 0.3)
    # Nobody saw it wait: without Runpod's word it may have begun at once.
    assert event.gpu_s == pytest.approx(ran_s, abs=0.1)
    assert event.gpu_s > 15


async def test_a_look_that_finds_a_job_waiting_says_that_it_costs_nothing_yet() -> None:
    runpod = FakeRunpod()
    runpod.status = {"status": "IN_QUEUE"}
    runpod.answers = {"cancel": [(500, b"")] * 6}
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        time = upstream.gpu.open(attempt(), lambda _gpu_s: None)
        (event,) = await cancelled(subject, left_job("a", time=time), seconds=60)
    assert event.gpu_s == 0


async def test_a_job_that_ran_unseen_is_charged_what_runpod_says_that_it_ran() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(200, b'{"status":"CANCELLED","executionTime":3000}')]}
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        time = upstream.gpu.open(attempt(), lambda _gpu_s: None)
        await anyio.sleep(4)
        (event,) = await cancelled(subject, left_job("a", time=time))
    assert (event.gpu_s, event.execution_s) == (pytest.approx(3, abs=0.01), 3.0)


async def test_a_dead_process_s_job_is_charged_from_its_noted_start_where_runpod_does_not_know_it() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(404, b"")] * 2, "status": [(404, b"")] * 2}
    async with running(runpod, endpoint={"execution_timeout_s": 100}) as subject:
        now_s = subject.gateway._clock.monotonic_s()
        lately = left_job("a", is_orphan=True, started_at_s=now_s - 30)
        long_ago = left_job("b", is_orphan=True, started_at_s=now_s - 3000)
        charged = [event.gpu_s for event in await cancelled(subject, lately, long_ago)]
    assert sorted(charged) == pytest.approx([30, 100], abs=0.1)


async def test_a_burst_of_one_tenant_takes_no_more_than_its_share_of_the_budget() -> None:
    runpod = FakeRunpod()
    runpod.status = {"status": "IN_PROGRESS"}
    limits = {"cancel": {"per_10s": 100, "concurrent": 2}}
    names = {"flood": 1, "heavy": 3, "polite": 1}
    tenants = [{"name": name, "keys": [key_line(name)], "weight": weight} for name, weight in names.items()]
    async with running(runpod, endpoint={"limits": limits}, tenants=tenants) as subject:
        upstream, queue = subject.gateway._upstreams["chat"], queue_of(subject)
        for number in range(200):
            queue.add(upstream, left_job(f"flood-{number}", tenant=tenant(name="flood")))
        # The budget's burst is the flood's; what comes after it is shared.
        await anyio.sleep(1)
        before = len(runpod.calls)
        for name, count in (("polite", 10), ("heavy", 60)):
            for number in range(count):
                # The weight of the configuration counts.
                queue.add(upstream, left_job(f"{name}-{number}", tenant=tenant(name=name, weight=100)))
        with anyio.fail_after(60):
            await queue.flush()
    order = [job_id.split("-")[0] for operation, job_id in runpod.calls[before:] if operation == "cancel"]
    # By weight, 1 to 3 to 1, until the last of the polite tenant's.
    polite_last = max(place for place, name in enumerate(order) if name == "polite")
    assert polite_last <= 10 * 5 + 5
    assert order[:polite_last].count("heavy") == pytest.approx(30, abs=4)


async def test_a_cancel_that_was_under_way_when_the_queue_stopped_is_made_again() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(500, b"")]}
    subject = Subject(runpod)
    queue, upstream = queue_of(subject), subject.gateway._upstreams["chat"]
    queue.add(upstream, left_job("a"))
    for held_s in (0.0, 0.2, None):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            if held_s is None:
                with anyio.fail_after(5):
                    await queue.flush()
            else:
                # In the middle of the first call, and then of the pause before the second.
                await (anyio.sleep(held_s) if held_s else anyio.lowlevel.checkpoint())
            tasks.cancel_scope.cancel()
    assert queue.pending() == {"chat": 0}
    assert upstream.gates.calls["cancel"].held == {}
    assert runpod.count("cancel") >= 2


@pytest.mark.parametrize("moment", ["waiting", "in its call", "after a failure", "as it is settled"])
async def test_a_job_that_is_dropped_is_cancelled_no_more(moment: str) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(500, b"")]}
    closed: list[str] = []
    released: list[str] = []
    async with running(runpod, endpoint={"limits": {"cancel": {"per_10s": 1, "concurrent": 1}}}) as subject:
        queue, upstream, seen = queue_of(subject), subject.gateway._upstreams["chat"], list[Event]()
        queue._observe = seen.append
        if moment == "waiting":
            # The budget of these ten seconds goes to another one.
            queue.add(upstream, left_job("other"))
            await anyio.sleep(0.1)
        queue.add(upstream, left_job("a", close=lambda: closed.append("a"), release=lambda: released.append("a")))
        if moment == "as it is settled":
            runpod.answers = {}
            while not runpod.count("status"):
                await anyio.lowlevel.checkpoint()
        elif moment == "in its call":
            while not runpod.count("cancel"):
                await anyio.lowlevel.checkpoint()
        else:
            await anyio.sleep(0.1)
        queue.drop(upstream, "a")
        queue.drop(upstream, "a")
        queue.drop(upstream, "unknown")
        assert closed == released == ["a"]
        with anyio.fail_after(60):
            await queue.flush()
        await anyio.sleep(30)
        assert released == ["a"]
        assert not queue._lines["chat"].asking
        calls = [job_id for operation, job_id in runpod.calls if operation == "cancel"]
        assert calls.count("a") == (moment != "waiting")
        assert {event.attempt.job_id for event in seen if isinstance(event, JobCancelled)} <= {"other"}
        # The queue goes on.
        queue.add(upstream, left_job("b"))
        with anyio.fail_after(60):
            await queue.flush()


async def test_an_answer_that_nobody_foresaw_ends_no_other_cancel() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(500, b""), (500, b"")]}
    async with running(runpod) as subject:
        upstream, seen = subject.gateway._upstreams["chat"], list[Event]()
        queue_of(subject)._observe = seen.append
        broken = [True, True]

        async def read_status(job_id: str) -> Any:
            if broken:
                broken.pop()
                raise ValueError("not foreseen")
            return await type(upstream.jobs).read_status(upstream.jobs, job_id)

        upstream.jobs.read_status = read_status
        for name in "ab":
            queue_of(subject).add(upstream, left_job(name))
        with anyio.fail_after(60):
            await queue_of(subject).flush()
    assert [type(event) for event in seen].count(Broke) == 2
    assert sum(isinstance(event, JobCancelled) for event in seen) == 2


async def test_a_job_that_ends_while_its_cancel_waits_gives_back_what_it_occupies() -> None:
    """The one with the least work ahead has the last turn, and is over before it."""
    runpod = FakeRunpod()
    runpod.status = {"status": "IN_PROGRESS"}
    released: list[str] = []
    async with running(runpod, endpoint={"limits": {"cancel": {"per_10s": 1, "concurrent": 1}}}) as subject:
        for name in "abc":
            job = left_job(name, release=lambda name=name: released.append(name))
            queue_of(subject).add(subject.gateway._upstreams["chat"], job)
        await anyio.sleep(4)
        assert len(released) == 1
        runpod.status = {"status": "COMPLETED", "executionTime": 1000}
        await anyio.sleep(2.5)
        assert sorted(released) == ["a", "b", "c"]
        assert queue_of(subject).pending() == {"chat": 0}
    assert runpod.count("cancel") == 1


async def test_many_jobs_that_wait_are_asked_about_in_turn() -> None:
    runpod = FakeRunpod()
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod, endpoint={"limits": {"cancel": {"per_10s": 1, "concurrent": 1}}}) as subject:
        for number in range(300):
            queue_of(subject).add(subject.gateway._upstreams["chat"], left_job(f"job-{number}"))
        await anyio.sleep(20.5)
    asked = [job_id for operation, job_id in runpod.calls if operation == "status"]
    assert 900 <= len(asked) <= 1000
    assert len(set(asked)) >= 298


async def test_a_404_to_a_cancel_is_believed_where_the_status_says_the_same() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(404, b"")] * 2}
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod) as subject:
        assert await outcomes(subject, "a") == [CallOutcome.OK]
    assert runpod.count("cancel") == 3


async def test_turns_that_come_when_all_is_over_leave_the_queue_in_order() -> None:
    """Jobs that ended while several of their cancels waited for a turn, and others after them."""
    runpod = FakeRunpod()
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod, endpoint={"limits": {"cancel": {"per_10s": 5, "concurrent": 5}}}) as subject:
        upstream, queue = subject.gateway._upstreams["chat"], queue_of(subject)
        for number in range(6):
            queue.add(upstream, left_job(f"first-{number}"))
        await anyio.sleep(0.1)
        runpod.status = {"status": "COMPLETED"}
        await anyio.sleep(20)
        assert queue.pending() == {"chat": 0}
        assert [sum(line.asking.values()) for line in queue._lines.values()] == [0]
        runpod.status = {"status": "IN_PROGRESS"}
        runpod.answers = {"cancel": [(500, b"")]}
        for number in range(6):
            queue.add(upstream, left_job(f"second-{number}"))
        with anyio.fail_after(60):
            await queue.flush()
        assert b"gateway_bugs_total 0.0" in subject.gateway._metrics.render()[0]
