"""A large page does not hold everybody up."""

from typing import Any

import anyio.lowlevel
import httpx
import pytest
from msgspec import Raw

from gateway.exchange.job_attempt import PART_BYTES, parts
from tests.exchange.test_exchange import content
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.subject import EVENTS, event, running

LARGE = event(delta={"content": "x" * (PART_BYTES // 8)})
END = [event(finish_reason="stop"), "data: [DONE]\n\n"]


def test_parts_are_bounded_and_lose_nothing() -> None:
    outputs = [Raw(b"x" * size) for size in (10, PART_BYTES, 20, PART_BYTES - 20, 30)]
    split = list(parts(outputs))
    assert [(len(part), size) for part, size in split] == [(2, PART_BYTES + 10), (2, PART_BYTES), (1, 30)]
    assert [output for part, _ in split for output in part] == outputs


def test_an_empty_page_has_no_parts() -> None:
    assert list(parts([])) == []


async def turns_of_others(call: AsgiCall, app: object) -> int:
    """How often somebody else ran between the first and the last output that the client was sent."""
    turns: list[int] = []
    count = 0

    async def other() -> None:
        nonlocal count
        while True:
            count += 1
            await anyio.lowlevel.checkpoint()

    call.on_send = lambda: turns.append(count)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await call.run(app)
        tasks.cancel_scope.cancel()
    return turns[-1] - turns[0]


async def test_others_have_their_turn_within_a_large_page() -> None:
    async with running(FakeRunpod(pages=[("COMPLETED", [*[LARGE] * 80, *END])])) as subject:
        call = subject.call(stream=True)
        assert await turns_of_others(call, subject.gateway.app) >= 10
        assert call.events[-1] == "[DONE]"
        assert len(call.events) >= 82


@pytest.mark.parametrize("pages", [[("COMPLETED", [])], [("IN_PROGRESS", EVENTS[:1]), ("COMPLETED", [])]])
async def test_what_the_status_told_is_not_told_again(pages: list[Any]) -> None:
    """An answer that is cut short in the status too: a page was lost, or the worker never streamed."""
    runpod = FakeRunpod(pages=pages)
    runpod.answers = {"stream": [httpx.ReadError("lost")]}
    runpod.status = {"status": "COMPLETED", "output": EVENTS[:2], "executionTime": 5}
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello"
    assert "error" in call.events[-1]
