"""Runs a gateway on the job route before an emulator that enforces Runpod's published limits."""

import pathlib
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass

import aiohttp
import anyio

from bench.first_text.streams import Stream, read_stream, read_upstream
from bench.processes import RUNPOD_KEY, emulator, gateway
from gateway.config.keys import key_line

TENANTS = 3
TOKEN_S = 0.05
RAMP_PER_S = 60.0
"""How many streams begin in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How many streams, how long each is, and how many come late."""

    streams: int
    words: int
    newcomers: int = 0
    newcomer_pause_s: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What clients saw, and what the endpoint's own route gave as many clients."""

    load: Load
    streams: list[Stream]
    newcomers: list[Stream]
    upstream_s: list[float]


def measure(load: Load) -> Measured:
    """Play one load, first at the endpoint itself and then through the gateway."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = pathlib.Path(name)
        options = ("--workers", "40", "--slices", "events", "--token-interval-s", str(TOKEN_S))
        upstream = stack.enter_context(emulator(directory, *options, "--standby-workers", "0"))
        ours = stack.enter_context(gateway(directory, _config(upstream.url)))
        return anyio.run(_measure, load, ours.url, upstream.url, backend_options={"use_uvloop": True})


def _config(emulator_url: str) -> dict[str, object]:
    endpoint = {
        "name": "chat",
        "id": "ep1",
        "base_url": f"{emulator_url}/v2",
        "api_key": RUNPOD_KEY,
        "route": "job",
        "max_in_flight": 2000,
        "queue_timeout_s": 60,
        "min_workers": 40,
    }
    tenants = [{"name": f"t{number}", "keys": [key_line(_key(number))]} for number in range(TENANTS)]
    models = [{"id": "m", "endpoint": "chat"}]
    return {"metrics_port": None, "endpoints": [endpoint], "models": models, "tenants": tenants}


def _key(number: int) -> str:
    return f"fp-first-text-{number % TENANTS}"


async def _measure(load: Load, url: str, emulator_url: str) -> Measured:
    headers = {"authorization": f"Bearer {RUNPOD_KEY}"}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        upstream_s: list[float] = []
        direct = aiohttp.ClientSession(connector=connector, connector_owner=False, headers=headers, timeout=timeout)
        async with direct, anyio.create_task_group() as tasks:

            async def at_endpoint(number: int) -> None:
                own = f"{emulator_url}/v2/direct"
                upstream_s.append(await read_upstream(direct, own, words=20, after_s=number / RAMP_PER_S))

            for number in range(min(load.streams, 64)):
                tasks.start_soon(at_endpoint, number)
        streams: list[Stream] = []
        newcomers: list[Stream] = []

        async def one(number: int, after_s: float, into: list[Stream]) -> None:
            into.append(await read_stream(http, url, words=load.words, key=_key(number), after_s=after_s))

        async with anyio.create_task_group() as tasks:
            for number in range(load.streams):
                tasks.start_soon(one, number, number / RAMP_PER_S, streams)
            begin_s = load.streams / RAMP_PER_S + 3
            for number in range(load.newcomers):
                tasks.start_soon(one, number, begin_s + number * load.newcomer_pause_s, newcomers)
        return Measured(load=load, streams=streams, newcomers=newcomers, upstream_s=upstream_s)
