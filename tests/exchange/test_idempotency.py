"""Requests with an Idempotency-Key, at the whole gateway."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from gateway.exchange import idempotency as module
from gateway.exchange.idempotency import Idempotency
from tests.exchange.test_exchange import COMPLETION, content
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.subject import PAGES, Subject, answering, running

SLOW: list[Any] = [PAGES[0], PAGES[1], *[("IN_PROGRESS", [])] * 3, *PAGES[2:]]


def keyed(subject: Subject, key: str = "k1", **asked: Any) -> AsgiCall:
    call = subject.call(**{"stream": True, **asked})
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
        size = table(subject)._kept_bytes
        assert size > 0
        monkeypatch.setattr(module, "KEPT_BYTES_MAX", 3 * size)
        for number in range(9):
            await ask(subject, f"k{number}")
        assert len(table(subject)._shared) == len(table(subject)._kept) == 3
        assert table(subject)._kept_bytes <= 3 * size
        monkeypatch.setattr(module, "LIFETIME_S", 0.0)
        await ask(subject, "k8")
        assert runpod.count("run") == 11


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
