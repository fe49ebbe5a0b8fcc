"""A hostile tenant beside a polite one: whatever the one's requests bring about, the other is served."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

from tests.exchange.test_exchange import content
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY, key_line
from tests.subject import EVENTS, PAGES, Subject, running

POLITE_KEY = "polite-key"
TENANTS = [{"name": "hostile", "keys": [key_line(KEY)]}, {"name": "polite", "keys": [key_line(POLITE_KEY)]}]
HOSTILE_PROMPT = "crash"
QUIET_S = 100.0
"""Longer than a worker is expected to stay that was never seen to survive a pause."""

Answer = Callable[[], tuple[int, bytes] | Exception]


class TouchyRunpod(FakeRunpod):
    """Answers what a hostile prompt provokes; all other requests are served.

    Jobs with such a prompt hang, or fail where a relayed request would.
    """

    def __init__(self, relayed: Answer | None = None) -> None:
        super().__init__(pages=list(PAGES), events=[each.encode() for each in EVENTS])
        self._relayed = relayed
        self._hostile_jobs: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = await request.aread()
        is_hostile = HOSTILE_PROMPT in sent.decode()
        if is_hostile and "/openai/" in request.url.path and self._relayed is not None:
            self.answers["openai"] = [self._relayed()]
        response = await super().handle_async_request(request)
        if is_hostile and request.url.path.endswith("/run"):
            self._hostile_jobs.add(f"job-{self._submitted}")
        if response.status_code == 429:
            response.headers["retry-after"] = "60"
        return response

    def _page(self, job_id: str) -> dict[str, Any]:
        if job_id in self._hostile_jobs and job_id in self.running:
            return {"status": "IN_PROGRESS" if self._relayed is None else "FAILED", "stream": []}
        return super()._page(job_id)


def hostile(subject: Subject, **asked: Any) -> AsgiCall:
    return subject.call(messages=[{"role": "user", "content": HOSTILE_PROMPT}], **asked)


async def assert_polite_is_served(subject: Subject, *, within_s: float = 2.0) -> None:
    call = subject.call(key=POLITE_KEY, stream=True)
    with anyio.fail_after(within_s):
        await call.run(subject.gateway.app)
    assert content(call) == "Hello there"


PROVOKED: dict[str, Answer] = {
    "a handler that raises": lambda: (500, b'{"error":"handler: boom \\ntraceback: x"}'),
    "a handler that raises without words": lambda: (500, b"Internal Server Error"),
    "the edge's time is over": lambda: (524, b"<html>"),
    "a bad gateway": lambda: (502, b""),
    "a worker that dies": lambda: httpx.ReadError("broken"),
    "a worker that dies and says so": lambda: httpx.RemoteProtocolError("closed"),
    "a worker that writes 401": lambda: (401, b'{"error":"unauthorized"}'),
    "a worker that writes 404": lambda: (404, b""),
    "a worker that dies in mid-stream": lambda: (200, EVENTS[1].encode()),
    "a worker that writes 429": lambda: (429, b'{"error":{"message":"slow down","type":"rate_limit_error"}}'),
    "a worker that writes 429 and no more": lambda: (429, b""),
}


ATTACKS = [*itertools.product(PROVOKED, ["openai", "auto"]), ("a handler that raises", "job")]


@pytest.mark.parametrize(("what", "route"), ATTACKS)
async def test_what_a_prompt_provokes_is_no_matter_of_others(what: str, route: str) -> None:
    async with running(TouchyRunpod(PROVOKED[what]), endpoint={"route": route}, tenants=TENANTS) as subject:
        await assert_polite_is_served(subject)
        for failures in (5, 10, 50):
            for number in range(failures):
                call = hostile(subject, stream=bool(number % 3))
                await call.run(subject.gateway.app)
                assert b"Hello there" not in call.body
            await assert_polite_is_served(subject)
        await anyio.sleep(QUIET_S)
        # Nor after a quiet time, when a worker has to start.
        for _ in range(10):
            await hostile(subject).run(subject.gateway.app)
        await assert_polite_is_served(subject)
        # Of requests whose jobs may run on, /health shows that they are over.
        await anyio.sleep(4)
        assert subject.held() == {}


@pytest.mark.parametrize("route", ["job", "auto"])
async def test_a_request_that_hangs_keeps_no_other_tenant_from_waking_the_endpoint(route: str) -> None:
    runpod = TouchyRunpod()
    endpoint = {"route": route, "max_in_flight": 8}
    async with running(runpod, endpoint=endpoint, tenants=TENANTS) as subject, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(hostile(subject, stream=True).run, subject.gateway.app)
        await anyio.sleep(1)
        assert runpod.count("run") == 1
        await assert_polite_is_served(subject)
        tasks.cancel_scope.cancel()


async def test_a_client_that_leaves_again_and_again_keeps_no_other_from_waking_the_endpoint() -> None:
    runpod = TouchyRunpod()
    async with running(runpod, endpoint={"max_in_flight": 8}, tenants=TENANTS) as subject:
        for _ in range(10):
            call = hostile(subject, stream=True)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call.run, subject.gateway.app)
                await anyio.sleep(0.5)
                call.leave()
        await assert_polite_is_served(subject)


def test_the_prompt_is_one_that_the_polite_never_send() -> None:
    assert HOSTILE_PROMPT not in json.dumps(EVENTS)
