"""A large page does not hold everybody up."""

import anyio.lowlevel
from msgspec import Raw

from gateway.exchange.job_answer import PART_BYTES, parts
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.subject import event, running

LARGE = event(delta={"content": "x" * (PART_BYTES // 8)})
END = [event(finish_reason="stop"), "data: [DONE]\n\n"]


def test_parts_are_bounded_and_lose_nothing() -> None:
    outputs = [Raw(b"x" * size) for size in (10, PART_BYTES, 20, PART_BYTES - 20, 30)]
    split = list(parts(outputs))
    assert [len(part) for part in split] == [2, 2, 1]
    assert [output for part in split for output in part] == outputs


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
