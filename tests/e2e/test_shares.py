"""Tenants share an endpoint's seats by weight, over real HTTP."""

import asyncio
from collections import Counter

import httpx
import pytest

from gateway.config.keys import key_line
from gateway.emulator.settings import EmulatorSettings
from tests.stacks import RUNPOD_KEY, stack

COMPLETIONS = 480
CLIENTS = 24
TENANTS = [{"name": name, "keys": [key_line(name)], "weight": weight} for name, weight in (("three", 3), ("one", 1))]


async def flood(url: str) -> Counter[str]:
    """Both tenants always have more requests than seats; count who was served first."""
    served: Counter[str] = Counter()
    body = {"model": "m", "messages": [{"role": "user", "content": "count to 4"}]}

    async def client(http: httpx.AsyncClient, key: str) -> None:
        while served.total() < COMPLETIONS:
            answer = await http.post(url, json=body, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 200
            if served.total() < COMPLETIONS:
                served[key] += 1

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits) as http:
        await asyncio.gather(*(client(http, key) for key in ("three", "one") for _ in range(CLIENTS)))
    return served


@pytest.mark.parametrize("route", ["job", "openai"])
def test_a_flood_is_shared_three_to_one(route: str) -> None:
    settings = EmulatorSettings(api_key=RUNPOD_KEY, token_interval_s=0.01, limits_enforced=False)
    limits = {name: {"per_10s": 100_000, "concurrent": 400} for name in ("run", "stream", "status", "openai")}
    endpoint = {"route": route, "max_in_flight": 8, "limits": limits}
    with stack(settings, endpoint=endpoint, tenants=TENANTS) as running:
        served = asyncio.run(flood(f"{running.base_url}/chat/completions"))
        assert served["three"] / served["one"] == pytest.approx(3, rel=0.1)
