"""What requests and answers hold of the process's memory while they are served, at the whole gateway."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from gateway.api.asgi_sink import SLICE_BYTES
from gateway.api.body import REQUEST_BYTES, BodyBudget
from gateway.fairshare.memory_shares import MemoryShares
from gateway.jobs.answer_memory import WHOLE_COPIES
from tests.exchange.test_exchange import content
from tests.exchange.test_idempotency import keyed
from tests.exchange.test_openai_relay import EndlessRunpod
from tests.fakes.runpod import FakeRunpod
from tests.subject import EVENTS, PAGES, Subject, answering, event, running

WORDS = "word " * 100_000
LARGE = event(delta={"content": WORDS})
SLOW: list[Any] = [PAGES[0], *[("IN_PROGRESS", [])] * 3, *PAGES[1:]]


def requests_of(subject: Subject) -> BodyBudget:
    return subject.gateway._completions.room


def answers_of(subject: Subject) -> MemoryShares:
    return subject.gateway._endpoints.answers


async def while_answered(subject: Subject, look: Callable[[], int], **asked: Any) -> list[int]:
    """Return what was seen from the first byte of the answer on."""
    seen: list[int] = []
    call = subject.call(stream=True, **asked)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call.run, subject.gateway.app)
        with anyio.fail_after(10):
            while not call.messages:
                await anyio.sleep(0.01)
        seen.append(look())
    assert content(call) == "Hello there"
    return [*seen, look()]


async def test_a_request_counts_until_it_is_answered() -> None:
    async with running(FakeRunpod(pages=SLOW)) as subject:
        room = requests_of(subject)
        during, after = await while_answered(subject, lambda: room.held_bytes, user="x" * 200_000)
        assert during > REQUEST_BYTES + 200_000
        assert after == 0


async def test_a_relayed_request_counts_until_its_client_leaves() -> None:
    async with running(EndlessRunpod(EVENTS[1].encode()), endpoint={"route": "openai"}) as subject:
        call = subject.call(stream=True, user="x" * 200_000)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(10)
            assert requests_of(subject).held_bytes > REQUEST_BYTES + 200_000
            assert answers_of(subject).held_bytes == 0
            call.leave()
        assert requests_of(subject).held_bytes == 0


@pytest.mark.parametrize("asked", [{"model": "nope"}, {"messages": 3}, {"n": 1000}])
async def test_a_request_that_is_refused_leaves_nothing(asked: dict[str, Any]) -> None:
    async with running(answering()) as subject:
        assert (await subject.post(**asked)).status in {400, 404}
        assert requests_of(subject).held_bytes == 0


async def test_a_request_that_waits_in_line_counts_at_whatever_endpoint() -> None:
    runpod = FakeRunpod(pages=[PAGES[0], *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod, endpoint={"max_in_flight": 1, "queue_timeout_s": 600}) as subject:
        calls = [subject.call(stream=True, user="x" * 200_000) for _ in range(4)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(1)
            assert requests_of(subject).held_bytes > 4 * 200_000
            refused = requests_of(subject)
            refused.resize(2 * refused.held_bytes)
            full = await subject.post(user="x" * 200_000)
            assert (full.status, full.json["error"]["code"]) == (503, "server_is_overloaded")
            assert full.headers["retry-after"] == "1"
            for call in calls:
                call.leave()
        assert requests_of(subject).held_bytes == 0


async def test_a_replay_keeps_nothing_of_its_request() -> None:
    runpod = FakeRunpod(pages=SLOW)
    async with running(runpod) as subject:
        room = requests_of(subject)
        first, second = keyed(subject), keyed(subject)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run, subject.gateway.app)
            with anyio.fail_after(10):
                while not room.held_bytes:
                    await anyio.sleep(0.01)
                held = room.held_bytes
                tasks.start_soon(second.run, subject.gateway.app)
                while not second.messages:
                    await anyio.sleep(0.01)
            assert room.held_bytes == held
        assert content(first) == content(second) == "Hello there"
        await anyio.sleep(10)
        assert room.held_bytes == 0


@pytest.mark.parametrize("route", ["job", "openai"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_large_answer_counts_until_it_is_passed_on(route: str, stream: bool) -> None:
    outputs = [EVENTS[0], LARGE, *EVENTS[3:]]
    runpod = FakeRunpod(pages=[("IN_PROGRESS", outputs), ("COMPLETED", [])], events=[each.encode() for each in outputs])
    async with running(runpod, endpoint={"route": route}) as subject:
        held: list[int] = []
        room = answers_of(subject)
        add = room.add
        room.add = lambda tenant, size: (add(tenant, size), held.append(room.held_bytes))[0]  # type: ignore[method-assign]
        call = await subject.post(stream=stream)
        assert call.status == 200
        if not stream:
            assert max(held) >= WHOLE_COPIES * len(LARGE)
            assert call.json["choices"][0]["message"]["content"] == WORDS
        elif route == "job":
            assert max(held) >= len(LARGE)
        assert room.held_bytes == 0


@pytest.mark.parametrize("route", ["job", "openai"])
async def test_an_answer_without_room_is_refused_and_its_job_cancelled(route: str) -> None:
    whole = json.dumps({"choices": [{"index": 0, "message": {"content": WORDS}, "finish_reason": "stop"}]})
    pages: list[Any] = [("IN_PROGRESS", [whole]), *[("IN_PROGRESS", [])] * 100]
    async with running(FakeRunpod(pages=pages, events=[whole.encode()]), endpoint={"route": route}) as subject:
        answers_of(subject).resize(100_000)
        call = await subject.post()
        assert (call.status, call.json["error"]["code"]) == (503, "server_is_overloaded")
        await anyio.sleep(5)
        assert subject.runpod.running == {}
        assert answers_of(subject).held_bytes == 0
        assert subject.held() == {}


@pytest.mark.parametrize("is_keyed", [False, True])
async def test_an_answer_in_one_piece_counts_while_its_client_reads_it(is_keyed: bool) -> None:
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": 2 * WORDS}, "finish_reason": "stop"}]}
    async with running(FakeRunpod(pages=[("COMPLETED", [whole])])) as subject:
        call = keyed(subject, stream=False) if is_keyed else subject.call()
        if is_keyed:
            subject.gateway.exchanges._idempotency._room.resize(0)
        send, sizes, may_read = call.send, list[int](), anyio.Event()

        async def slowly(message: dict[str, Any]) -> None:
            sizes.append(len(message.get("body", b"")))
            if len(sizes) == 3:
                await may_read.wait()
            await send(message)

        call.send = slowly  # type: ignore[method-assign]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(1)
            assert len(sizes) == 3
            assert answers_of(subject).held_bytes >= len(2 * WORDS)
            may_read.set()
        assert call.json["choices"][0]["message"]["content"] == 2 * WORDS
        assert int(call.headers["content-length"]) == len(call.body) == sum(sizes)
        assert max(sizes) <= SLICE_BYTES
        await anyio.sleep(5)
        assert answers_of(subject).held_bytes == 0
