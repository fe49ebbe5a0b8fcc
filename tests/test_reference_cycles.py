"""Nothing that a request or a connection leaves behind waits for a garbage collection, which is rare in a server."""

import gc
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import anyio
import httpx
import msgspec
import pytest

from gateway.config.keys import key_line
from gateway.emulator.settings import EmulatorSettings
from gateway.errors import UnreachableError
from gateway.fairshare.overflow import QueueLimits
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY, RUNPOD_KEY, Stack, stack
from tests.subject import EVENTS, running
from tests.waiting import a_moment, eventually

COUNT = 5


class Garbage:
    """What a collection finds between two calls."""

    def begin(self) -> None:
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)

    def end(self) -> list[str]:
        """Return the types of our own objects, and of those of the server, that only a collection would free."""
        gc.collect()
        gc.set_debug(0)
        types = sorted({f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage})
        gc.garbage.clear()
        return [name for name in types if name.startswith(("gateway.", "uvicorn.", "uvloop.", "httptools."))]


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    try:
        yield Garbage()
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def answering() -> FakeRunpod:
    relayed = [*(each.encode() for each in EVENTS), b"[DONE]"]
    return FakeRunpod(pages=[("IN_PROGRESS", EVENTS), ("COMPLETED", [])] * 100, events=relayed)


def failing() -> FakeRunpod:
    runpod = FakeRunpod(pages=[("FAILED", [])] * 100)
    runpod.status = {"status": "FAILED", "error": "out of memory"}
    runpod.answers = {"openai": [(500, b'{"error": "out of memory"}')] * 100}
    return runpod


def unreachable() -> FakeRunpod:
    runpod = FakeRunpod()
    runpod.answers = {
        name: [UnreachableError("reset", was_sent=True) for _ in range(100)] for name in ("run", "openai")
    }
    return runpod


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("route", ["job", "openai"])
@pytest.mark.parametrize(("runpod", "status"), [(answering, 200), (failing, 502), (unreachable, 502)])
async def test_a_request_leaves_none(
    garbage: Garbage, runpod: Callable[[], FakeRunpod], status: int, route: str, stream: bool
) -> None:
    async with running(runpod(), endpoint={"route": route}) as subject:

        async def ask() -> None:
            call = subject.call(stream=stream)
            await call.run(subject.gateway.app)
            assert call.status in {status, 503}

        await ask()
        await anyio.sleep(10)
        garbage.begin()
        for _ in range(COUNT):
            await ask()
        # GPU seconds are final some seconds after the end.
        await anyio.sleep(10)
        assert garbage.end() == []


@pytest.mark.parametrize("queued_max", [10_000, 4])
async def test_a_refusal_leaves_none(garbage: Garbage, queued_max: int) -> None:
    """Tickets that time out, and one that is evicted for another tenant's."""
    tenants = [{"name": name, "keys": [key_line(key)]} for name, key in (("acme", KEY), ("beta", "fp-beta"))]
    endpoint = {"route": "job", "max_in_flight": 1, "queue_timeout_s": 2, "min_workers": 1}
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS[:1]), *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod, endpoint=endpoint, tenants=tenants) as subject, anyio.create_task_group() as tasks:
        queue = subject.gateway._upstreams["chat"].gates.work._queue
        queue._overflow._limits = QueueLimits(tickets_max=queued_max, refuses_hopeless=False)
        tasks.start_soon(subject.call(stream=True).run, subject.gateway.app)
        await anyio.sleep(1)

        async def ask(key: str = KEY) -> None:
            call = subject.call(stream=False, key=key)
            await call.run(subject.gateway.app)
            assert call.status in {429, 503}

        async def crowd() -> None:
            async with anyio.create_task_group() as crowd:
                for _ in range(4):
                    crowd.start_soon(ask)
                await anyio.sleep(0.1)
                crowd.start_soon(ask, "fp-beta")

        await crowd()
        garbage.begin()
        await crowd()
        assert garbage.end() == []
        tasks.cancel_scope.cancel()


def ask_over(running: Stack, *, leaves: bool) -> None:
    """Send a streaming request over a connection of its own, and read it to its end, or leave after its first bytes."""
    text = "slowly count to 50" if leaves else "count to 3"
    body = msgspec.json.encode({"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]})
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    address = urlsplit(running.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(head.encode() + body)
        while client.recv(65536) and not leaves:
            pass


@pytest.mark.server
@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("route", ["job", "openai"])
def test_a_connection_leaves_none(garbage: Garbage, route: str, leaves: bool) -> None:
    def is_idle() -> bool:
        return bool(httpx.get(f"{made.url}/readyz").json()["exchanges"] == 0)

    endpoint = {"route": route, "min_workers": 1}
    with stack(EmulatorSettings(api_key=RUNPOD_KEY, wait_s_min=0.0), endpoint=endpoint) as made:
        ask_over(made, leaves=leaves)
        eventually(is_idle)
        garbage.begin()
        for _ in range(COUNT):
            ask_over(made, leaves=leaves)
        eventually(is_idle)
        a_moment()
        assert garbage.end() == []
