"""A gateway over a fake Runpod: the real object graph, no sockets."""

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import structlog

from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config.loader import parse_config
from gateway.domain import Operation
from gateway.exchange.client_response import KeepAliveIntervals
from gateway.observability.logs import configure_logs
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY, config_of
from tests.virtual_time import LoopClock

CHAT = "/v1/chat/completions"


def event(id: str | None = None, **choice: Any) -> str:  # noqa: A002 - the wire's name.
    named = {"object": "chat.completion.chunk", **({} if id is None else {"id": id})}
    choices = [{"index": 0, "finish_reason": None, "delta": {}, **choice}]
    return "data: " + json.dumps({**named, "choices": choices}) + "\n\n"


EVENTS = [
    event(delta={"role": "assistant", "content": ""}),
    event(delta={"content": "Hello"}),
    event(delta={"content": " there"}),
    event(finish_reason="stop"),
    'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n',
    "data: [DONE]\n\n",
]
PAGES: list[Any] = [*[("IN_PROGRESS", [each]) for each in EVENTS], ("COMPLETED", [])]


class Subject:
    """A gateway, the Runpod behind it, and what the gateway still holds."""

    def __init__(
        self,
        runpod: FakeRunpod,
        *,
        intervals: KeepAliveIntervals | None = None,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        self.runpod = runpod
        config = parse_config(config_of("http://127.0.0.1:1", **options), {})
        self.gateway = Gateway(config, transport=runpod, intervals=intervals, clock=clock or LoopClock())

    async def post(self, path: str = CHAT, **asked: Any) -> AsgiCall:
        """One request to its end."""
        call = self.call(path, **asked)
        with anyio.fail_after(10):
            await call.run(self.gateway.app)
        return call

    def call(
        self, path: str = CHAT, *, key: str = KEY, headers: dict[str, str] | None = None, **asked: Any
    ) -> AsgiCall:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **asked}
        return AsgiCall(path, body, headers={"authorization": f"Bearer {key}", **(headers or {})})

    def held(self) -> dict[str, Any]:
        """Everything that should be nothing when nobody is served."""
        held: dict[str, Any] = {"exchanges": self.gateway.exchanges.count, "responses": self.runpod.open_responses}
        for upstream in self.gateway._upstreams.values():
            for name, gate in {"work": upstream.gates.work, **upstream.gates.calls}.items():
                if name == Operation.HEALTH:
                    # Read in the background while workers may run: the gateway's own call, and no request's.
                    continue
                held[f"{name} held"], held[f"{name} waiting"] = gate.held, gate.waiting
        return {name: value for name, value in held.items() if value}


@contextlib.asynccontextmanager
async def running(runpod: FakeRunpod, **options: Any) -> AsyncIterator[Subject]:
    """The gateway with its background tasks, and with the log that `serve` writes."""
    configure_logs("json", sys.stderr)
    try:
        subject = Subject(runpod, **options)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.gateway.background)
            await anyio.wait_all_tasks_blocked()
            yield subject
            tasks.cancel_scope.cancel()
    finally:
        structlog.reset_defaults()


def answering() -> FakeRunpod:
    """One whose jobs and relayed requests answer "Hello there"."""
    return FakeRunpod(pages=list(PAGES), events=[each.encode() for each in EVENTS])
