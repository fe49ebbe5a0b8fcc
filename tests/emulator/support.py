"""What the emulator's tests share: a clock that is set by hand, an emulator in this loop, requests, and readers."""

import ast
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.virtual_time import LoopClock

PATIENT = EmulatorSettings(wait_s_min=0.0)


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.s = 1000.0

    def monotonic_s(self) -> float:
        return self.s

    def unix_s(self) -> float:
        return 1_700_000_000.0 + self.s


@contextlib.asynccontextmanager
async def emulator(
    settings: EmulatorSettings = PATIENT, *, clock: HandClock | None = None, endpoint: str = "ep"
) -> AsyncIterator[httpx.AsyncClient]:
    """An emulator in this event loop, workers included, and a client of one of its endpoints."""
    app = build_emulator(settings, clock=clock or LoopClock())
    async with app.lifespan():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://emulator/v2/{endpoint}") as client:
            yield client


def admin(path: str) -> str:
    """The address of an admin route, for a client of an endpoint."""
    return f"http://emulator/emulator/{path}"


def chat(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """A job for the chat route; a streamed one unless told otherwise."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}], **fields}
    return {"input": {"openai_route": "/v1/chat/completions", "openai_input": body}}


async def submit(client: httpx.AsyncClient, job: dict[str, Any]) -> str:
    """Queue a job; its id."""
    reply = await client.post("/run", json=job)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


async def drain(client: httpx.AsyncClient, job_id: str, *, pages_max: int = 2000) -> tuple[list[Any], str]:
    """Read a stream to its end: every output, and the last status."""
    outputs: list[Any] = []
    for _ in range(pages_max):
        page = (await client.get(f"/stream/{job_id}")).json()
        outputs.extend(item["output"] for item in page["stream"])
        if page["status"] in {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"} and not page["stream"]:
            return outputs, page["status"]
    raise AssertionError("the stream does not end")


async def finished(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The status of a job once it has ended."""
    reply = await client.get(f"/status-sync/{job_id}", params={"wait": 10_000})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def read_events(text: str) -> list[Any]:
    """The data of an event stream: JSON decoded, [DONE] as it is. Lines of one event are joined."""
    events = []
    for block in text.split("\n\n"):
        data = "\n".join(line.removeprefix("data: ") for line in block.split("\n") if line.startswith("data:"))
        if data:
            events.append(data if data == "[DONE]" else json.loads(data))
    return events


def content(chunks: list[Any], index: int = 0) -> str:
    """The text that the chunks of one choice add up to."""
    deltas = [
        choice["delta"].get("content") or ""
        for chunk in chunks
        if chunk != "[DONE]"
        for choice in chunk["choices"]
        if choice["index"] == index
    ]
    return "".join(deltas)


def from_repr(error: str) -> Any:
    """What a worker printed with Python's repr."""
    return ast.literal_eval(error)


async def settle() -> None:
    """Let every other task of this loop come to where it waits.

    Not anyio's `wait_all_tasks_blocked`: it looks at the pace of the emulator's own tick, and may find the tick due
    every time.
    """
    await anyio.sleep(0.02)
