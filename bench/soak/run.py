"""A gateway under load for some minutes, then left in peace."""

import itertools
import pathlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import anyio
from anyio.abc import TaskGroup
from prometheus_client import Metric

from bench.processes import RUNPOD_KEY, Running, emulator, gateway
from bench.soak.client import End, Visited, key_of, make
from bench.soak.ledger import Ledger, read
from bench.soak.plan import ROUTES, TENANTS, Visit, visits
from bench.soak.watch import Sample, Watch, footprint
from gateway.config.keys import key_line

EMULATOR = ("--workers", "4", "--worker-concurrency", "64")
"""More places than seats: jobs of the OpenAI route that nobody waits for any more go on to their end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of it. The seats are those of both endpoints together."""

    seconds: float
    seats: int = 64
    quiet_s: float = 65.0
    """Idle connections to Runpod are looked at every 30 s, and closed once they are older than that."""
    sample_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """All that was seen."""

    size: Size
    planned: Sequence[Visit]
    visited: Counter[Visited]
    before: Sample
    samples: Sequence[Sample]
    """While the load was on."""
    after: Sample
    metrics: Sequence[Metric]
    ledger: Ledger
    job_states: dict[str, str]


def soak(size: Size) -> Soaked:
    """Start both, put the load on, wait, look."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        with emulator(directory, *EMULATOR) as upstream, gateway(directory, config(upstream.url, size.seats)) as ours:
            return anyio.run(_soak, size, ours, upstream, backend_options={"use_uvloop": True})


def config(emulator_url: str, seats: int) -> dict[str, object]:
    """Two endpoints, one by each route, three tenants with weights and caps that they do not reach."""
    return {
        "metrics_port": None,
        "endpoints": [
            {
                "name": route,
                "id": route,
                "base_url": f"{emulator_url}/v2",
                "api_key": RUNPOD_KEY,
                "route": route,
                "max_in_flight": seats // len(ROUTES),
            }
            for route in ROUTES
        ],
        "models": [{"id": route, "endpoint": route} for route in ROUTES],
        "tenants": [
            {
                "name": name,
                "weight": weight,
                "keys": [key_line(key_of(name))],
                "max_in_flight": seats * 8,
                "requests_per_minute": 1_000_000,
                "tokens_per_minute": 1_000_000_000,
            }
            for name, weight in TENANTS.items()
        ],
        "logs": {"format": "json"},
    }


async def _soak(size: Size, ours: Running, upstream: Running) -> Soaked:
    planned = visits(size.seconds, seats=size.seats)
    visited: Counter[Visited] = Counter()
    samples: list[Sample] = []
    async with aiohttp.ClientSession() as http:
        watch = Watch(http, gateway=ours, emulator=upstream, ids=ROUTES)
        began_s = anyio.current_time()

        async def sample() -> Sample:
            return Sample(anyio.current_time() - began_s, footprint(ours.pid), await watch.held())

        async def sampling() -> None:
            for number in itertools.count():
                await anyio.sleep_until(began_s + number * size.sample_s)
                samples.append(await sample())

        before = await sample()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sampling)
            await _load(ours.url, planned, visited)
            tasks.cancel_scope.cancel()
        await anyio.sleep(size.quiet_s)
        after = await sample()
        return Soaked(
            size=size,
            planned=planned,
            visited=visited,
            before=before,
            samples=samples,
            after=after,
            metrics=await watch.metrics(),
            ledger=read(ours.log.read_text().splitlines()),
            job_states=await watch.job_states(),
        )


async def _load(url: str, planned: Sequence[Visit], visited: Counter[Visited]) -> None:
    """Make every visit at its time, whatever became of those before it."""
    # Without a limit: a line in the client would hide the one that is measured.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, anyio.create_task_group() as tasks:
        await _arrive(tasks, http, url, planned, visited)


async def _arrive(
    tasks: TaskGroup, http: aiohttp.ClientSession, url: str, planned: Sequence[Visit], visited: Counter[Visited]
) -> None:
    async def one(visit: Visit) -> None:
        visited[await make(http, url, visit)] += 1

    began_s = anyio.current_time()
    for visit in planned:
        await anyio.sleep_until(began_s + visit.at_s)
        tasks.start_soon(one, visit)


def ends(visited: Counter[Visited]) -> Counter[End]:
    """How visits ended, without the kinds."""
    counts: Counter[End] = Counter()
    for each, count in visited.items():
        counts[each.end] += count
    return counts
