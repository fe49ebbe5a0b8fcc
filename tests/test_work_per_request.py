"""How much work a request is, counted rather than timed: calls of Python and C functions, from socket to socket.

A clock on a busy machine cannot see a tenth; a count can. Where it grows by more than that, the hot path was made
dearer: make it cheaper, or say in the commit why it has to be, and write the new number here. Where it falls by more,
write the lower number, so that what was won is kept. Sockets and Runpod are fakes, and next to nothing of it. Time is
virtual, so that nothing is done in the background while a request is counted, however slow the machine is.
"""

import asyncio
import gc
import io
import json
import pathlib
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

import pytest
import structlog

import gateway
from gateway.config.keys import key_line
from gateway.observability.logs import configure_logs
from tests.stacks import KEY
from tests.subject import event
from tests.wires import Client, WiredGateway, wired

REQUESTS = 3
WARM_UP = 3
TOLERANCE = 0.1
CALLS = {
    "relay, a whole answer": 1510,
    "relay, a stream": 2821,
    "relay, a chunk": 89,
    "job, a stream": 10263,
    "job, a page of 8 outputs": 703,
    "job, an output": 36,
}
"""Calls of functions, as they were last counted; the streams have ten chunks, or ten pages of eight outputs."""
WIDE = {name: {"per_10s": 1_000_000, "concurrent": 400} for name in ("run", "stream", "status", "openai", "cancel")}
"""A call that waits for its time is more work than one that does not, and which of them do is a matter of the clock."""
FRAMES = 9
"""Functions of the gateway on the stack where a chunk like the last one is written, at most."""
GATEWAY = str(pathlib.Path(gateway.__file__).parent) + "/"
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


class Canned:
    """A Runpod that answers with bytes that were made before."""

    def __init__(self, *, relayed: list[bytes] | None = None, paged: list[bytes] | None = None) -> None:
        self._relayed = None if relayed is None else response(*relayed)
        self._paged = [response(each) for each in paged or []]
        self._other = response(b'{"id":"job-1","status":"COMPLETED","executionTime":1000,"delayTime":500}')
        self._next_page = 0

    def __call__(self, request: bytes) -> list[bytes]:
        if self._relayed is not None:
            return self._relayed
        if b"/stream/" in request:
            self._next_page += 1
            return self._paged[self._next_page - 1]
        if b"/run " in request:
            self._next_page = 0
        return self._other


def response(*pieces: bytes) -> list[bytes]:
    """Return a chunked response as it arrives: its head, then each piece."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head, *[b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces], b"0\r\n\r\n"]


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
    async with wired(runpod, endpoint={"route": route, "limits": WIDE}) as subject:
        client = subject.client()
        counts = [await _counted(subject, client, stream=stream) for _ in range(WARM_UP + REQUESTS)]
    return min(counts[WARM_UP:])


async def _counted(subject: WiredGateway, client: Client, *, stream: bool, key: str = KEY) -> int:
    with CallCount() as count:
        answer = await client.ask(stream=stream, key=key)
        while subject.gateway.exchanges.count:
            await asyncio.sleep(0)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (b"data: [DONE]" if stream else b"Hello there") in answer
    return count.calls


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
    async with wired(
        Canned(relayed=[WHOLE]), endpoint={"route": "openai", "limits": WIDE}, tenants=sections
    ) as subject:
        client = subject.client()
        for name in names * (1 + WARM_UP // tenants):
            await client.ask(stream=False, key=name)
        asking = (names * REQUESTS)[:REQUESTS]
        # The least, as in `calls_of`.
        return min([await _counted(subject, client, stream=False, key=name) for name in asking])


async def test_a_chunk_is_nine_functions_deep() -> None:
    """From the read of Runpod's connection to the write to the client's, without a coroutine between them."""
    deepest: list[str] = []

    def seen(frame: FrameType | None, what: str, _of: Any) -> None:
        nonlocal deepest
        names = []
        while frame is not None:
            if GATEWAY in frame.f_code.co_filename:
                names.append(frame.f_code.co_qualname)
            frame = frame.f_back
        if what == "call" and len(names) > len(deepest):
            deepest = names

    runpod = Canned(relayed=[each.encode() for each in words(MANY)])
    async with wired(runpod, endpoint={"route": "openai", "limits": WIDE}) as subject:
        client = subject.client()
        client.send(stream=True)
        while client.received.count(b" word") < FEW:
            await asyncio.sleep(0)
        sys.setprofile(seen)
        while client.received.count(b" word") < MANY - FEW:
            await asyncio.sleep(0)
        sys.setprofile(None)
        await client.ended()
    assert deepest[-1] == "Connection.data_received"
    assert len(deepest) == FRAMES, deepest


async def test_more_work_is_counted() -> None:
    with CallCount() as few:
        sum(map(abs, range(10)))
    with CallCount() as more:
        for number in range(100):
            abs(number)
    assert more.calls - few.calls >= 90
