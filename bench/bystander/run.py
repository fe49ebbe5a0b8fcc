"""Alone and beside, by turns, so that the machine's own noise falls on both."""

import pathlib
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import aiohttp
import anyio

from bench.bystander import crowd, polite
from bench.bystander.polite import Times
from bench.processes import RUNPOD_KEY, emulator, gateway
from gateway.config.keys import key_line

MODELS = (polite.MODEL, crowd.MODEL)
LIMITS = {name: {"per_10s": 1_000_000, "concurrent": 1000} for name in ("run", "stream", "status", "cancel")}
"""Runpod's own would pace the polite client, and that pace would be all that is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of it: so many turns alone, and one less beside."""

    turns: int = 13
    turn_s: float = 3.0
    connections: int = 500
    settle_s: float = 3.0
    """After the crowd has come or gone: to open it costs this process, and its large stream the worker."""
    warm_up_s: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The turns in their order."""

    size: Size
    alone: Sequence[Times]
    beside: Sequence[Times]
    slow_bytes: Sequence[int]
    """What the slow reader read in each turn."""
    closed: int
    """Idle connections that the gateway had ended by the end of their turn, over all turns."""


def compare(size: Size) -> Compared:
    """Start the gateway, with an emulator for each of the two: who reads slowly must not slow the other's worker."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        with ExitStack() as stack:
            upstreams = [stack.enter_context(emulator(directory, "--no-limits-enforced", name=name)) for name in MODELS]
            urls = {name: each.url for name, each in zip(MODELS, upstreams, strict=True)}
            with gateway(directory, config(urls)) as ours:
                return anyio.run(_compare, size, ours.url, backend_options={"use_uvloop": True})


def config(emulator_urls: dict[str, str]) -> dict[str, object]:
    """A model, an endpoint and a tenant for the polite client and for the slow one."""
    return {
        "metrics_port": None,
        "endpoints": [
            {
                "name": name,
                "id": name,
                "base_url": f"{url}/v2",
                "api_key": RUNPOD_KEY,
                "route": "job",
                "limits": LIMITS,
            }
            for name, url in emulator_urls.items()
        ],
        "models": [{"id": name, "endpoint": name} for name in emulator_urls],
        "tenants": [
            {"name": "polite", "keys": [key_line(polite.KEY)]},
            {"name": "slow", "keys": [key_line(crowd.KEY)]},
        ],
        "logs": {"format": "json"},
    }


async def _compare(size: Size, url: str) -> Compared:
    alone: list[Times] = []
    beside: list[Times] = []
    slow_bytes: list[int] = []
    closed = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await polite.measure(http, url, size.warm_up_s)
        for turn in range(size.turns):
            if turn:
                async with crowd.beside(url, size.connections) as them:
                    await anyio.sleep(size.settle_s)
                    beside.append(await polite.measure(http, url, size.turn_s))
                    slow_bytes.append(them.read_bytes)
                    closed += them.closed()
                await anyio.sleep(size.settle_s)
            alone.append(await polite.measure(http, url, size.turn_s))
    return Compared(size=size, alone=alone, beside=beside, slow_bytes=slow_bytes, closed=closed)
