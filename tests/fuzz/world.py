"""A gateway in virtual time before a Runpod that follows a script of replies, used for many cases."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from itertools import cycle
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import httpx

from bench.fairness.virtual_loop import VirtualClock, VirtualLoop
from gateway.config.keys import key_line
from gateway.domain import Resource
from gateway.exchange.client_response import KeepAliveIntervals
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeBody, FakeRunpod
from tests.fuzz.replies import Reply
from tests.stacks import ENDPOINT_ID, KEY, RUNPOD_KEY
from tests.subject import Subject

T = TypeVar("T")
BUDGET_S = 5.0
REST_S = 20.0
"""After a case: longer than any window, and than an answer of /health is believed."""
CASE_S_MAX = 200.0
"""A turn, two routes, six calls that fail, and what a job may take."""
TOKENS_PER_MINUTE = 10**11
ROUTES = {
    "openai": ("job", "openai"),
    "tokens": ("job", "tokens"),
    "legacy": ("job", "legacy"),
    "text": ("job", "text"),
    "relay": ("openai", "openai"),
    "auto": ("auto", "openai"),
}


class FaultyBody(FakeBody):
    """A body that breaks off."""

    def __init__(self, pieces: list[bytes], on_close: Callable[[], None], fault: Exception) -> None:
        super().__init__(pieces, on_close)
        self._fault = fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in super().__aiter__():
            yield piece
        raise self._fault


class ScriptedRunpod(FakeRunpod):
    """Answers each operation by its replies in order; the last one again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.script: Mapping[str, list[Reply]] = {}

    def follow(self, script: Mapping[str, list[Reply]]) -> None:
        self.script = script
        self.calls.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        operation, _, job_id = request.url.path.removeprefix(f"/v2/{ENDPOINT_ID}/").partition("/")
        replies = self.script[operation]
        reply = replies[min(self.count(operation), len(replies) - 1)]
        self.calls.append((operation, job_id))
        headers = {} if reply.retry_after is None else {"retry-after": reply.retry_after}
        pieces = reply.pieces()
        if reply.fault is not None and not reply.fault[1]:
            raise reply.fault[0]
        self.open_responses += 1
        body = (
            FakeBody(pieces, self._closed)
            if reply.fault is None
            else FaultyBody(pieces[: len(pieces) // 2], self._closed, reply.fault[0])
        )
        return httpx.Response(reply.status, headers=headers, stream=body, request=request)


class World:
    """One process' worth of gateway: every route and dialect behind a model of the same name."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.runpod = ScriptedRunpod()
        self.subject = self._runner.run(self._build())
        self._background = self._runner.get_loop().create_task(self.subject.gateway.background())

    async def _build(self) -> Subject:
        endpoints = [
            {
                "name": name, "id": ENDPOINT_ID, "base_url": "http://127.0.0.1:1/v2", "api_key": RUNPOD_KEY,
                "route": route, "worker": dialect, "cold_start_timeout_s": BUDGET_S, "execution_timeout_s": BUDGET_S,
                "queue_timeout_s": BUDGET_S, "share_by": share_by,
            }
            for (name, (route, dialect)), share_by in zip(ROUTES.items(), cycle(Resource), strict=False)
        ]  # fmt: skip
        models = [{"id": name, "endpoint": name, "upstream": "org/real"} for name in ROUTES]
        models.append({"id": "several", "endpoint": ["relay", "openai"], "upstream": "org/real"})
        # Counted, though never reached: a count out of this world would show in what the next cases are refused.
        tenants = [{"name": "acme", "keys": [key_line(KEY)], "tokens_per_minute": TOKENS_PER_MINUTE}]
        intervals = KeepAliveIntervals(comment_s=1.0, chunk_s=3.0, blank_s=7.0)
        options = {"endpoints": endpoints, "models": models, "tenants": tenants}
        return Subject(self.runpod, intervals=intervals, clock=VirtualClock(), **options)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(main)

    async def answer(self, call: AsgiCall, *, looks_first: bool) -> float:
        """Serve a request while Runpod follows its script; return the virtual seconds that it took."""
        gateway, loop = self.subject.gateway, asyncio.get_running_loop()
        if looks_first:
            gateway.exchanges._services.health.ask(gateway._upstreams["auto"])
            await anyio.sleep(1)
        begun_s = loop.time()
        with anyio.fail_after(CASE_S_MAX):
            await call.run(gateway.app)
        took_s = loop.time() - begun_s
        with anyio.fail_after(CASE_S_MAX):
            await gateway.exchanges._services.jobs.flush()
        with anyio.fail_after(CASE_S_MAX):
            # Of what has no id, /health tells when it is over, or its longest time.
            while any(upstream.abandoned for upstream in gateway._upstreams.values()):
                await anyio.sleep(1)
        await anyio.sleep(REST_S)
        for upstream in gateway._upstreams.values():
            # The next case begins with endpoints that are well.
            upstream._breaker.reset()
        if self._background.done():
            raise AssertionError("what goes on in the background has ended") from self._background.exception()
        return took_s

    def close(self) -> None:
        self._background.cancel()
        self._runner.run(self._wait())
        self._runner.close()

    async def _wait(self) -> None:
        await asyncio.gather(self._background, return_exceptions=True)
