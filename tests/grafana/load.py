"""A little load of every kind: so that whatever is counted has something to count."""

import asyncio
from typing import Any

import anyio
import httpx

from gateway.config.keys import key_line
from gateway.emulator.settings import EmulatorSettings
from tests.stacks import RUNPOD_KEY, Stack

SETTINGS = EmulatorSettings(api_key=RUNPOD_KEY, wait_s_min=0.0, slow_token_interval_s=0.02)
ENDPOINT = {"max_in_flight": 4, "queue_timeout_s": 0.4}
TENANTS = [
    {"name": "acme", "keys": [key_line("fp-acme")], "weight": 3},
    {"name": "beta", "keys": [key_line("fp-beta")], "weight": 1},
    {"name": "capped", "keys": [key_line("fp-capped")], "requests_per_minute": 2},
]
MODELS = [
    {"id": "m", "endpoint": "chat", "upstream": "org/real-model"},
    {"id": "shaky", "endpoint": "chat", "upstream": "org/model#fail=handler"},
]
FAULTS = {"cut_characters": True, "refused_calls": 3, "refused_status": 429, "refused_operations": ["run"]}
EMOJI = f'say "{"😀 " * 20}"'


def send_each_kind(running: Stack) -> None:
    """Send one request of each kind, one after the other, so that each has its series."""
    running.set_faults(cut_characters=True)
    with httpx.Client(base_url=running.base_url, timeout=10) as http:
        for text in ("count to 2", EMOJI):
            http.post("/chat/completions", json=_body(text, stream=True), headers=_as("fp-acme")).raise_for_status()
        _fail(http)
        body = _body("slowly count to 100", stream=True)
        with http.stream("POST", "/chat/completions", json=body, headers=_as("fp-acme")) as left:
            next(left.iter_bytes())


def send_failures(running: Stack) -> None:
    """Send a few requests that fail, and no others; together with that of `send_each_kind`, too few for the breaker."""
    with httpx.Client(base_url=running.base_url, timeout=10) as http:
        for _ in range(3):
            _fail(http)


def _fail(http: httpx.Client) -> None:
    failed = http.post("/chat/completions", json=_body("count to 2", model="shaky"), headers=_as("fp-acme"))
    assert failed.status_code == 502


def send_all_kinds(running: Stack, seconds: float) -> None:
    """Send requests of all kinds at once, for so long."""
    asyncio.run(_crowd(running, seconds))


async def _crowd(running: Stack, seconds: float) -> None:
    end_s = anyio.current_time() + seconds
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=running.base_url, timeout=10, limits=limits) as http:

        async def again(key: str, text: str, *, pause_s: float = 0.0, model: str = "m", stream: bool = False) -> None:
            while anyio.current_time() < end_s:
                body = _body(text, model=model, stream=stream)
                await http.post("/chat/completions", json=body, headers=_as(key))
                await asyncio.sleep(pause_s)

        await asyncio.gather(
            *(again("fp-acme", "slowly count to 8", stream=True) for _ in range(4)),
            *(again("fp-beta", "slowly count to 8") for _ in range(4)),
            again("fp-acme", EMOJI, stream=True, pause_s=0.2),
            *(again("fp-acme", "count to 2", model="shaky", pause_s=0.1) for _ in range(4)),
            again("fp-capped", "count to 2", pause_s=0.2),
            again("fp-acme", "count to 2", model="nobody-knows-it", pause_s=0.5),
            again("nobody's key", "count to 2", pause_s=0.5),
            _leave_again(http, end_s),
            _trouble(running, http, end_s),
        )


async def _leave_again(http: httpx.AsyncClient, end_s: float) -> None:
    """A client that goes away in the middle of its answer."""
    while anyio.current_time() < end_s:
        body = _body("slowly count to 100", stream=True)
        async with http.stream("POST", "/chat/completions", json=body, headers=_as("fp-acme")) as answer:
            async for _ in answer.aiter_bytes():
                break
        await asyncio.sleep(0.2)


async def _trouble(running: Stack, http: httpx.AsyncClient, end_s: float) -> None:
    """Runpod says 429 a few times each second."""
    while anyio.current_time() < end_s:
        answer = await http.put(f"{running.emulator_url}/emulator/faults", json=FAULTS)
        answer.raise_for_status()
        await asyncio.sleep(1)


def _body(text: str, *, model: str = "m", stream: bool = False) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}


def _as(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
