"""Runpod behind httpx's transport interface: scripted jobs, no sockets, and a count of everything that is open."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx

Page = tuple[str, list[Any]]


class FakeBody(httpx.AsyncByteStream):
    """A body that arrives in pieces, each after a turn of the loop."""

    def __init__(self, pieces: list[bytes], on_close: Callable[[], None]) -> None:
        self._pieces = pieces
        self._on_close = on_close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await anyio.lowlevel.checkpoint()
            yield piece

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._on_close()


class FakeRunpod(httpx.AsyncBaseTransport):
    """Every job goes through the same pages; every relayed request gets the same events."""

    def __init__(
        self,
        *,
        pages: list[Page] | None = None,
        events: list[bytes] | None = None,
        health: dict[str, int] | None = None,
    ) -> None:
        self.pages = pages or []
        self.events = events or []
        self.health = {"idle": 1} if health is None else health
        self.answers: dict[str, list[tuple[int, bytes] | Exception]] = {}
        """Answers by operation that come before the scripted ones."""
        self.status: dict[str, Any] = {"status": "COMPLETED", "executionTime": 1000, "delayTime": 500}
        self.running: dict[str, int] = {}
        """Jobs that are neither over nor cancelled, with the number of pages read."""
        self.relayed_running = 0
        """Jobs of relayed requests that run on, as /health counts them."""
        self.open_responses = 0
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        """Those of each call."""
        self._submitted = 0

    def count(self, operation: str) -> int:
        return sum(called == operation for called, _ in self.calls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        operation, _, job_id = request.url.path.removeprefix("/v2/ep1/").partition("/")
        self.calls.append((operation, job_id))
        self.headers.append(dict(request.headers))
        if content := await request.aread():
            self.bodies.append(json.loads(content))
        status, pieces = self._answer(operation, job_id)
        # The reply is on its way: the call has had its effect, and its caller may not live to see it.
        await anyio.lowlevel.checkpoint()
        self.open_responses += 1
        return httpx.Response(status, stream=FakeBody(pieces, self._closed), request=request)

    def _closed(self) -> None:
        self.open_responses -= 1

    def _answer(self, operation: str, job_id: str) -> tuple[int, list[bytes]]:
        if planned := self.answers.get(operation):
            if isinstance(planned[0], Exception):
                raise planned.pop(0)
            status, body = planned.pop(0)
            return status, [body]
        match operation:
            case "run":
                self._submitted += 1
                self.running[f"job-{self._submitted}"] = 0
                return 200, [json.dumps({"id": f"job-{self._submitted}", "status": "IN_QUEUE"}).encode()]
            case "stream":
                return 200, [json.dumps(self._page(job_id)).encode()]
            case "status":
                if self.status["status"] not in {"IN_QUEUE", "IN_PROGRESS"}:
                    self.running.pop(job_id, None)
                return 200, [json.dumps({"id": job_id, **self.status}).encode()]
            case "cancel":
                self.running.pop(job_id, None)
                return 200, [b'{"status":"CANCELLED"}']
            case "health":
                jobs = {"inProgress": len(self.running) + self.relayed_running, "inQueue": 0}
                return 200, [json.dumps({"workers": self.health, "jobs": jobs}).encode()]
            case _:
                return 200, self.events

    def _page(self, job_id: str) -> dict[str, Any]:
        read = self.running.get(job_id, len(self.pages))
        state, outputs = self.pages[read] if read < len(self.pages) else ("COMPLETED", [])
        if job_id in self.running:
            self.running[job_id] = read + 1
        if state not in {"IN_QUEUE", "IN_PROGRESS"}:
            self.running.pop(job_id, None)
        return {"status": state, "stream": [{"output": output} for output in outputs]}
