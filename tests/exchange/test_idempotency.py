"""Requests with an Idempotency-Key, at the whole gateway."""

from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from gateway.admission.ref_counted_hold import RefCountedHold
from gateway.config.keys import key_line
from gateway.errors import OutputLostError
from gateway.events import Event, Outcome, Settled
from gateway.exchange import idempotency as module
from gateway.exchange.idempotency import Idempotency
from gateway.exchange.replay_buffer import ReplayBuffer
from gateway.fairshare.memory_shares import MemoryShares
from tests.exchange.test_exchange import COMPLETION, content
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY
from tests.subject import PAGES, Subject, answering, running

SLOW: list[Any] = [PAGES[0], PAGES[1], *[("IN_PROGRESS", [])] * 3, *PAGES[2:]]


def keyed(subject: Subject, key: str = "k1", *, caller: str = KEY, **asked: Any) -> AsgiCall:
    call = subject.call(key=caller, **{"stream": True, **asked})
    call.scope["headers"].append((b"idempotency-key", key.encode()))
    return call


async def ask(subject: Subject, key: str = "k1", **asked: Any) -> AsgiCall:
    call = keyed(subject, key, **asked)
    with anyio.fail_after(10):
        await call.run(subject.gateway.app)
        # A client has its answer before its exchange is over.
        while any(each.exchange for each in table(subject)._shared.values()):
            await anyio.lowlevel.checkpoint()
    return call


def room(subject: Subject) -> MemoryShares:
    return table(subject)._room


def table(subject: Subject) -> Idempotency:
    return subject.gateway.exchanges._idempotency


@pytest.mark.parametrize("stream", [True, False])
async def test_the_second_one_is_told_the_answer_of_the_first(stream: bool) -> None:
    runpod = answering() if stream else FakeRunpod(pages=[("COMPLETED", [COMPLETION])])
    async with running(runpod) as subject:
        first, second = await ask(subject, stream=stream), await ask(subject, stream=stream)
        assert first.body == second.body
        assert runpod.count("run") == 1
        assert "idempotent-replayed" not in first.headers
        assert second.headers["idempotent-replayed"] == "true"
        assert second.headers["x-fairpod-job-id"] == first.headers["x-fairpod-job-id"]
        assert second.headers["x-request-id"] != first.headers["x-request-id"]
        assert subject.held() == {}


async def test_those_that_come_meanwhile_join() -> None:
    runpod = FakeRunpod(pages=SLOW)
    async with running(runpod) as subject:
        calls = [keyed(subject) for _ in range(5)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
        assert [content(call) for call in calls] == ["Hello there"] * 5
        assert runpod.count("run") == 1


@pytest.mark.parametrize("changed", [{"messages": [{"role": "user", "content": "Bye"}]}, {"temperature": 1}])
async def test_another_body_is_refused(changed: Any) -> None:
    runpod = answering()
    async with running(runpod) as subject:
        await ask(subject)
        refused = await ask(subject, **changed)
        assert refused.status == 422
        assert refused.json["error"]["code"] == "idempotency_key_in_use"
        assert (await ask(subject, "k2", **changed)).status == 200
        assert runpod.count("run") == 2


async def test_a_retry_after_a_timeout_finds_the_answer_that_its_client_gave_up_on() -> None:
    runpod = FakeRunpod(pages=SLOW)
    async with running(runpod) as subject:
        gone = keyed(subject)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gone.run, subject.gateway.app)
            await anyio.sleep(0.1)
            gone.leave()
        again = await ask(subject)
        assert content(again) == "Hello there"
        assert runpod.count("run") == 1
        assert runpod.count("cancel") == 0


async def test_who_does_not_come_back_has_the_job_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.2)
    runpod = FakeRunpod(pages=[PAGES[0], *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod) as subject:
        gone = keyed(subject)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gone.run, subject.gateway.app)
            await anyio.sleep(0.1)
            gone.leave()
        assert runpod.running
        with anyio.fail_after(5):
            while runpod.running:
                await anyio.sleep(0.02)
        await anyio.sleep(0.05)
        assert not table(subject)._shared
        assert subject.held() == {}


async def test_a_failure_is_told_to_all_and_the_next_attempt_is_a_new_one() -> None:
    runpod = answering()
    runpod.answers = {"stream": [(200, b'{"status":"FAILED","stream":[]}')]}
    runpod.status = {"status": "FAILED", "error": "boom"}
    async with running(runpod) as subject:
        calls = [keyed(subject) for _ in range(3)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
        assert [call.status for call in calls] == [502] * 3
        assert runpod.count("run") == 1
        runpod.status = {"status": "COMPLETED"}
        assert (await ask(subject)).status == 200
        assert runpod.count("run") == 2


async def test_a_key_is_known_to_its_tenant_and_its_path_alone() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        await ask(subject)
        subject.gateway._keys._keys = {}
        assert (await ask(subject)).status == 401


async def test_answers_are_kept_for_a_while_and_no_more_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    runpod = answering()
    async with running(runpod) as subject:
        await ask(subject, "old")
        size = room(subject).held_bytes
        assert size > module.ANSWER_BYTES
        # A tenant alone has half of the room.
        room(subject).resize(2 * 3 * size)
        for number in range(9):
            await ask(subject, f"k{number}")
        assert len(table(subject)._shared) == len(table(subject)._kept) == 3
        assert room(subject).held_bytes == 3 * size
        monkeypatch.setattr(module, "LIFETIME_S", 0.0)
        await ask(subject, "k8")
        assert runpod.count("run") == 11
        assert room(subject).held_bytes <= size


async def test_answers_of_one_tenant_push_out_its_own_and_no_other_s() -> None:
    runpod = answering()
    tenants = [{"name": name, "keys": [key_line(f"{name}-key")]} for name in ("acme", "zeta")]
    async with running(runpod, tenants=tenants) as subject:
        for number in range(2):
            await ask(subject, f"k{number}", caller="zeta-key")
        room(subject).resize(6 * room(subject).held_bytes)
        for number in range(30):
            await ask(subject, f"k{number}", caller="acme-key")
        count = runpod.count("run")
        for number in range(2):
            assert (await ask(subject, f"k{number}", caller="zeta-key")).headers["idempotent-replayed"] == "true"
        assert (await ask(subject, "k29", caller="acme-key")).headers["idempotent-replayed"] == "true"
        assert runpod.count("run") == count
        assert room(subject).held_bytes < room(subject).bytes_max


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_without_room_is_made_and_not_kept(stream: bool) -> None:
    runpod = answering() if stream else FakeRunpod(pages=[("COMPLETED", [COMPLETION])])
    async with running(runpod) as subject:
        room(subject).resize(0)
        for number in range(2):
            assert (await ask(subject, stream=stream)).status == 200
            assert runpod.count("run") == number + 1
        assert room(subject).held_bytes == 0
        assert not table(subject)._shared


async def test_an_answer_that_is_made_takes_room_too() -> None:
    runpod = FakeRunpod(pages=SLOW)
    async with running(runpod) as subject:
        call = keyed(subject)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            with anyio.fail_after(5):
                while not call.messages:
                    await anyio.sleep(0.01)
            assert room(subject).held_bytes > module.ANSWER_BYTES
        assert content(call) == "Hello there"


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "\x01"])
async def test_a_key_that_is_none_is_refused(key: str) -> None:
    async with running(answering()) as subject:
        assert (await ask(subject, key)).status == 400


async def test_a_process_that_stops_tells_all_who_listen() -> None:
    runpod = FakeRunpod(pages=[PAGES[0], *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod) as subject:
        calls = [keyed(subject) for _ in range(3)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
            with anyio.fail_after(5):
                while not all(call.messages for call in calls):
                    await anyio.sleep(0.01)
                await subject.gateway.exchanges.drain(0)
        assert ["error" in call.events[-1] for call in calls] == [True] * 3
        assert runpod.running == {}


async def test_who_comes_while_an_abandoned_one_ends_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    runpod = answering()
    submitted, may_answer = anyio.Event(), anyio.Event()
    answer = runpod.handle_async_request

    async def slowly(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/run") and not submitted.is_set():
            submitted.set()
            await may_answer.wait()
        return await answer(request)

    monkeypatch.setattr(runpod, "handle_async_request", slowly)
    async with running(runpod) as subject:
        gone = keyed(subject)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gone.run, subject.gateway.app)
            await submitted.wait()
            gone.leave()
        # Given up, and not over: its submission is waited for, so that the job can be cancelled.
        await anyio.sleep(0.2)
        assert subject.gateway.exchanges.count == 1
        with anyio.fail_after(5):
            again = keyed(subject)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(again.run, subject.gateway.app)
                await anyio.sleep(0.05)
                may_answer.set()
        assert content(again) == "Hello there"
        await subject.gateway.exchanges._idle()
        await subject.gateway.exchanges._services.jobs.flush()
    assert runpod.running == {}


async def test_who_joined_in_the_moment_it_was_given_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    runpod = FakeRunpod(pages=[PAGES[0], *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod) as subject:
        gone = keyed(subject)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gone.run, subject.gateway.app)
            await anyio.sleep(0.05)
            gone.leave()
        (shared,) = table(subject)._shared.values()
        late = table(subject).find(shared.asked, subject.gateway.exchanges.record("late"), RefCountedHold(lambda: None))
        assert late is not None
        await anyio.sleep(0.2)
        with anyio.fail_after(5), pytest.raises(OutputLostError, match="abandoned"):
            await late.run(ReplayBuffer())


async def test_the_moment_longer_begins_with_the_last_one_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.5)
    runpod = FakeRunpod(pages=[PAGES[0], *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod) as subject:
        for _ in range(2):
            call = keyed(subject)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call.run, subject.gateway.app)
                await anyio.sleep(0.3)
                call.leave()
        # 0.6 s after the request came, and no time after the second client left.
        await anyio.sleep(0.3)
        assert table(subject)._shared
        with anyio.fail_after(5):
            while table(subject)._shared:
                await anyio.sleep(0.05)


async def test_a_replay_of_a_refusal_is_counted_as_one() -> None:
    runpod = FakeRunpod(pages=[("FAILED", [])])
    runpod.status = {"status": "FAILED", "error": "vLLM returned HTTP 400: {}"}
    async with running(runpod) as subject:
        seen: list[Event] = []
        table(subject)._observe = seen.append
        calls = [keyed(subject) for _ in range(2)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
        assert [call.status for call in calls] == [400, 400]
    assert [event.outcome for event in seen if isinstance(event, Settled)] == [Outcome.REJECTED]


async def test_a_run_that_failed_leaves_the_room_of_what_it_made() -> None:
    runpod = FakeRunpod(pages=[PAGES[0], *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod) as subject, anyio.create_task_group() as tasks:
        call = keyed(subject)
        tasks.start_soon(call.run, subject.gateway.app)
        with anyio.fail_after(5):
            while not room(subject).held_bytes:
                await anyio.sleep(0.01)

        async def broken() -> None:
            raise RuntimeError("a bug")

        task_group = table(subject)._tasks
        assert task_group is not None
        task_group.start_soon(broken)
        await anyio.sleep(1)
        # Started again by now, and its client was told.
        assert table(subject)._tasks not in {None, task_group}
        assert "error" in call.events[-1]
        assert (room(subject).held_bytes, table(subject)._shared) == (0, {})
