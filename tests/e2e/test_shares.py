"""Tenants share an endpoint's seats by weight, over real HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.config.keys import key_line
from gateway.emulator.settings import EmulatorSettings
from tests.stacks import RUNPOD_KEY, Stack, stack

SEATS = 64
TENANTS = [{"name": name, "keys": [key_line(name)], "weight": weight} for name, weight in (("three", 3), ("one", 1))]
# Bounds of calls are another test's matter, and so is the length of a line.
WIDE = {name: {"per_10s": 100_000, "concurrent": 400} for name in ("run", "stream", "status", "openai", "cancel")}


class Flood:
    """Clients of each tenant that ask again as soon as they are answered; counts the requests that are under way."""

    def __init__(self, running: Stack, http: httpx.AsyncClient) -> None:
        self.tenant_of_job: dict[str, str] = {}
        self._url = f"{running.base_url}/chat/completions"
        self._http = http

    async def client(self, tenant: str, text: str = "count to 80") -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        while True:
            answer = await self._http.post(self._url, json=body, headers={"authorization": f"Bearer {tenant}"})
            assert answer.status_code == 200, answer.text
            self.tenant_of_job[answer.headers.get("x-fairpod-job-id", "")] = tenant


@contextlib.asynccontextmanager
async def flooding(running: Stack, clients: dict[str, int]) -> AsyncIterator[Flood]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits) as http:
        flood = Flood(running, http)
        tasks = [asyncio.create_task(flood.client(name)) for name, count in clients.items() for _ in range(count)]
        try:
            yield flood
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def served_by(running: Stack) -> dict[str, float]:
    """Seat-seconds so far, by the gateway's own account."""
    gate = running.gateway._upstreams["chat"].gates.work
    return gate.served()


@pytest.mark.parametrize("route", ["job", "openai"])
def test_a_flood_is_shared_three_to_one_within_two_percent(route: str) -> None:
    settings = EmulatorSettings(
        api_key=RUNPOD_KEY, token_interval_s=0.02, limits_enforced=False, worker_concurrency=1000
    )
    endpoint = {"route": route, "max_in_flight": SEATS, "limits": WIDE, "queue_timeout_s": 60}

    async def measure(running: Stack) -> tuple[dict[str, float], Flood]:
        async with flooding(running, {"three": 110, "one": 70}) as flood:
            await asyncio.sleep(14)
            return served_by(running), flood

    with stack(settings, endpoint=endpoint, tenants=TENANTS) as running:
        served, _flood = asyncio.run(measure(running))
        assert served["three"] / served["one"] == pytest.approx(3, rel=0.02)
        # Nothing idles while somebody waits.
        assert sum(served.values()) >= 0.9 * SEATS * 14
