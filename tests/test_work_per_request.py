"""How much work a request is, counted rather than timed: calls of Python and C functions, from ASGI to the transport.

A clock on a busy machine cannot see a fifth; a count can. Where it grows by more than that, the hot path was made
dearer: make it cheaper, or say in the commit why it has to be, and write the new number here. Where it falls by more,
write the lower number, so that what was won is kept. The transport to Runpod is a fake, and next to nothing of it. Time
is virtual, so that nothing is done in the background while a request is counted, however slow the machine is.
"""

import asyncio
import gc
import io
import json
import sys
from collections.abc import AsyncIterator, Iterator
from types import FrameType
from typing import Any, Self

import httpx
import pytest
import structlog

from gateway.config.keys import key_line
from gateway.observability.logs import configure_logs
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY
from tests.subject import Subject, event, running

REQUESTS = 3
WARM_UP = 3
TOLERANCE = 0.2
CALLS = {
    "relay, a whole answer": 1338,
    "relay, a stream": 2755,
    "relay, a chunk": 104,
    "job, a stream": 10139,
    "job, a page of 8 outputs": 717,
    "job, an output": 38,
}
"""Calls of functions, as they were last counted; the streams have ten chunks, or ten pages of eight outputs."""
WIDE = {name: {"per_10s": 1_000_000, "concurrent": 400} for name in ("run", "stream", "status", "openai", "cancel")}
"""A call that waits for its time is more work than one that does not, and which of them do is a matter of the clock."""
FEW, MANY = 10, 60
"""Chunks or pages of two streams: their difference is what each chunk or page costs."""
WHOLE = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hello there"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Logs as a gateway that serves writes them, whatever other tests have set up; and no garbage of theirs."""
    gc.collect()
    configure_logs("json", io.StringIO())
    yield
    structlog.reset_defaults()


class CallCount:
    """Counts calls in this thread while the body of the `with` runs."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Self:
        gc.disable()
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _seen(self, _frame: FrameType, what: str, _of: Any) -> None:
        if what in {"call", "c_call"}:
            self.calls += 1


class Pieces(httpx.AsyncByteStream):
    """A body in pieces, each after a turn of the loop."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(0)
            yield piece


class Canned(FakeRunpod):
    """Answers as bytes that were made before: next to nothing of the count is its own."""

    def __init__(self, *, relayed: list[bytes] | None = None, paged: list[bytes] | None = None) -> None:
        super().__init__()
        self._relayed = relayed
        self._paged = paged or []
        self._next_page = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return httpx.Response(200, stream=Pieces(self._pieces(request.url.path)))

    def _pieces(self, path: str) -> list[bytes]:
        if self._relayed is not None:
            return self._relayed
        if "/stream/" in path:
            self._next_page += 1
            return [self._paged[self._next_page - 1]]
        if path.endswith("/run"):
            self._next_page = 0
        return [b'{"id":"job-1","status":"COMPLETED","executionTime":1000,"delayTime":500}']


class QuickCall(AsgiCall):
    """A client that takes what it gets."""

    async def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)


def words(count: int) -> list[str]:
    """Events of a stream with so many chunks of text."""
    said = [event(delta={"content": " word"}) for _ in range(count)]
    return [event(delta={"role": "assistant", "content": ""}), *said, event(finish_reason="stop"), "data: [DONE]\n\n"]


def page(state: str, outputs: list[str]) -> bytes:
    return json.dumps({"status": state, "stream": [{"output": output} for output in outputs]}).encode()


def pages(count: int, outputs: int) -> list[bytes]:
    """The pages of a job whose outputs are an event each, so many to a page."""
    first, *said, stop, done = words(outputs)
    at_work = [[first], *[said] * count, [stop, done]]
    return [*[page("IN_PROGRESS", each) for each in at_work], page("COMPLETED", [])]


async def calls_of(runpod: Canned, *, route: str, stream: bool) -> float:
    """Return the least count of a few requests, after a few that warm caches up.

    The least, since now and then asyncio clears its heap of cancelled timers, which is hundreds of calls.
    """
    counts = []
    async with running(runpod, endpoint={"route": route, "limits": WIDE}) as subject:
        for _ in range(WARM_UP + REQUESTS):
            counts.append(await _counted(subject, stream=stream))
            assert not subject.held()
    return min(counts[WARM_UP:])


async def _counted(subject: Subject, *, stream: bool, key: str = KEY) -> int:
    call = _call(stream=stream, key=key)
    with CallCount() as count:
        await call.run(subject.gateway.app)
    assert call.status == 200
    assert call.is_complete
    assert not stream or call.events[-1] == "[DONE]"
    return count.calls


def _call(*, stream: bool, key: str) -> QuickCall:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    return QuickCall("/v1/chat/completions", body, headers={"authorization": f"Bearer {key}"})


COUNTED: dict[tuple[int, ...], float] = {}
"""What was counted already: two works may be told from the same requests."""


async def relay_stream(chunks: int) -> float:
    if (chunks,) not in COUNTED:
        COUNTED[chunks,] = await _relay_stream(chunks)
    return COUNTED[chunks,]


async def job_stream(count: int, outputs: int) -> float:
    if (count, outputs) not in COUNTED:
        COUNTED[count, outputs] = await _job_stream(count, outputs)
    return COUNTED[count, outputs]


async def _relay_stream(chunks: int) -> float:
    return await calls_of(Canned(relayed=[each.encode() for each in words(chunks)]), route="openai", stream=True)


async def _job_stream(count: int, outputs: int) -> float:
    return await calls_of(Canned(paged=pages(count, outputs)), route="job", stream=True)


async def count(work: str) -> float:
    match work:
        case "relay, a whole answer":
            return await calls_of(Canned(relayed=[WHOLE]), route="openai", stream=False)
        case "relay, a stream":
            return await relay_stream(FEW)
        case "relay, a chunk":
            return (await relay_stream(MANY) - await relay_stream(FEW)) / (MANY - FEW)
        case "job, a stream":
            return await job_stream(FEW, 8)
        case "job, a page of 8 outputs":
            return (await job_stream(MANY, 8) - await job_stream(FEW, 8)) / (MANY - FEW)
        case _:
            return (await job_stream(FEW, 16) - await job_stream(FEW, 8)) / (8 * FEW)


@pytest.mark.parametrize("work", CALLS)
async def test_the_work_is_what_it_was(work: str) -> None:
    counted, known = await count(work), CALLS[work]
    assert counted <= known * (1 + TOLERANCE), f"{work}: {counted:.1f} calls, {known} when it was last looked at"
    assert counted >= known * (1 - TOLERANCE), f"{work}: only {counted:.1f} calls: write that instead of {known}"


async def test_the_work_does_not_grow_with_the_tenants() -> None:
    """That all came before. What is left to grow is memory that no cache holds, which no count shows."""
    few, many = [await _calls_beside(tenants) for tenants in (1, 1000)]
    assert many == pytest.approx(few, rel=0.02)


async def _calls_beside(tenants: int) -> float:
    names = [f"tenant-{number}" for number in range(tenants)]
    sections = [{"name": name, "weight": 1 + number % 3, "keys": [key_line(name)]} for number, name in enumerate(names)]
    async with running(
        Canned(relayed=[WHOLE]), endpoint={"route": "openai", "limits": WIDE}, tenants=sections
    ) as subject:
        for name in names * (1 + WARM_UP // tenants):
            await _call(stream=False, key=name).run(subject.gateway.app)
        asking = (names * REQUESTS)[:REQUESTS]
        # The least, as in `calls_of`.
        return min([await _counted(subject, stream=False, key=name) for name in asking])


async def test_more_work_is_counted() -> None:
    with CallCount() as few:
        sum(map(abs, range(10)))
    with CallCount() as more:
        for number in range(100):
            abs(number)
    assert more.calls - few.calls >= 90
