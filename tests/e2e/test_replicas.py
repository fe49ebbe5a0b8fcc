"""Three gateway processes on one real Redis before one Runpod: what is shared is shared by all of them together."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.config.keys import key_line
from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.effort import IS_THOROUGH
from tests.processes import Served, served
from tests.redis_server import RedisServer, redis_server
from tests.serving import serving
from tests.stacks import RUNPOD_KEY, config_of

pytestmark = [pytest.mark.server, pytest.mark.alone]

SEATS = 24
OUTAGE_S = float(os.environ.get("FAIRPOD_OUTAGE_S", "5"))
"""How long Redis is away; 30 in the long run that CONTRIBUTING.md names."""
# A seat or two at each end of the measurement are 2 % of ten seconds.
MEASURED_S, SHARE_WITHIN = (10.0, 0.02) if IS_THOROUGH else (5.0, 0.04)
TENANTS = [{"name": name, "keys": [key_line(name)]} for name in ("here", "everywhere")]
LIMITS = {"run": {"per_10s": 400, "concurrent": 40}, "cancel": {"per_10s": 1000, "concurrent": 100}}


class Fleet:
    """Replicas, the Runpod behind them, and clients that ask again as soon as they are answered."""

    def __init__(self, emulator_url: str, urls: list[str], http: httpx.AsyncClient) -> None:
        self.urls = urls
        self.statuses: dict[int, int] = {}
        self._emulator_url = emulator_url
        self._http = http
        self._tenant_of_job: dict[str, str] = {}

    async def client(self, tenant: str, url: str) -> None:
        # Four tenths of a second, as the worker says 20 words.
        body = {"model": "m", "messages": [{"role": "user", "content": "count to 20"}]}
        headers = {"authorization": f"Bearer {tenant}"}
        while True:
            try:
                answer = await self._http.post(f"{url}/v1/chat/completions", json=body, headers=headers)
            except httpx.TransportError:
                # A replica that was killed; its clients come again.
                await asyncio.sleep(0.1)
                continue
            self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
            self._tenant_of_job[answer.headers.get("x-fairpod-job-id", "")] = tenant
            if answer.status_code != 200:
                await asyncio.sleep(0.1)

    async def get(self, path: str) -> httpx.Response:
        """Of the first replica."""
        return await self._http.get(self.urls[0] + path)

    async def jobs(self) -> list[dict[str, Any]]:
        answer = await self._http.get(f"{self._emulator_url}/emulator/jobs")
        jobs: list[dict[str, Any]] = answer.json()
        return jobs

    async def report(self) -> dict[str, dict[str, int]]:
        answer = await self._http.get(f"{self._emulator_url}/emulator/limits")
        limits: dict[str, dict[str, dict[str, int]]] = answer.json()
        return next(iter(limits.values()))

    async def seat_seconds(self, begin_s: float, end_s: float) -> dict[str, float]:
        """Of jobs at Runpod, by tenant, between two times of its clock."""
        sums: dict[str, float] = {}
        for job in await self.jobs():
            tenant = self._tenant_of_job.get(job["id"])
            if tenant is not None and job["finished_s"] is not None:
                overlap = min(end_s, job["finished_s"]) - max(begin_s, job["submitted_s"])
                sums[tenant] = sums.get(tenant, 0.0) + max(0.0, overlap)
        return sums


def most_at_once(jobs: list[dict[str, Any]]) -> int:
    """The most jobs that were outstanding at Runpod at the same time."""
    edges = sorted(
        [(job["submitted_s"], 1) for job in jobs] + [(job["finished_s"], -1) for job in jobs if job["finished_s"]]
    )
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@contextlib.contextmanager
def three_replicas(directory: Path, redis: RedisServer) -> Iterator[tuple[str, list[Served]]]:
    settings = EmulatorSettings(
        api_key=RUNPOD_KEY, token_interval_s=0.02, worker_concurrency=1000, wait_s_min=0.0, jobs_kept_max=100_000
    )
    with serving(build_emulator(settings)) as emulator_url, contextlib.ExitStack() as stack:
        endpoint = {"max_in_flight": SEATS, "limits": LIMITS, "queue_timeout_s": 60}
        state = {"kind": "redis", "url": redis.url}
        config = config_of(emulator_url, endpoint=endpoint, tenants=TENANTS, state=state, drain_s=1)
        replicas = []
        for name in ("r1", "r2", "r3"):
            (directory / name).mkdir()
            replicas.append(stack.enter_context(served(directory / name, config)))
        yield emulator_url, replicas


@contextlib.asynccontextmanager
async def flooded(emulator_url: str, replicas: list[Served]) -> AsyncIterator[Fleet]:
    """One tenant asks at the first replica only, the other at all of them; both want more than there is."""
    async with httpx.AsyncClient(timeout=90, limits=httpx.Limits(max_connections=None)) as http:
        fleet = Fleet(emulator_url, [each.url for each in replicas], http)
        clients = [fleet.client("here", replicas[0].url) for _ in range(30)]
        clients += [fleet.client("everywhere", each.url) for each in replicas for _ in range(20)]
        tasks = [asyncio.create_task(client) for client in clients]
        try:
            yield fleet
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def check(fleet: Fleet) -> None:
    report = await fleet.report()
    assert most_at_once(await fleet.jobs()) <= SEATS
    assert {name: each["refused"] for name, each in report.items() if each["refused"]} == {}
    assert report["run"]["calls_10s_max"] <= LIMITS["run"]["per_10s"]


def test_a_tenant_on_one_replica_gets_its_share_of_all(tmp_path: Path, redis: RedisServer) -> None:
    async def measure(emulator_url: str, replicas: list[Served]) -> None:
        async with flooded(emulator_url, replicas) as fleet:
            await asyncio.sleep(3)
            begin_s = time.monotonic()
            await asyncio.sleep(MEASURED_S)
            end_s = time.monotonic()
            await asyncio.sleep(1)
            shares = await fleet.seat_seconds(begin_s, end_s)
            await check(fleet)
            assert shares["here"] / sum(shares.values()) == pytest.approx(0.5, abs=SHARE_WITHIN), shares
            assert set(fleet.statuses) == {200}

    with three_replicas(tmp_path, redis) as (emulator_url, replicas):
        asyncio.run(measure(emulator_url, replicas))


def test_no_cap_is_passed_whatever_happens_to_replicas_and_store(tmp_path: Path, redis: RedisServer) -> None:
    async def endure(emulator_url: str, replicas: list[Served]) -> None:
        async with flooded(emulator_url, replicas) as fleet:
            await asyncio.sleep(2)
            # Heartbeats are late.
            redis.freeze()
            await asyncio.sleep(1.5)
            redis.thaw()
            await asyncio.sleep(1)
            # A replica dies in the middle of its work, and comes back.
            replicas[2].kill()
            await asyncio.sleep(1)
            replicas[2].start()
            await asyncio.sleep(1)
            # The store is gone, and comes back knowing nothing.
            redis.stop()
            answered = fleet.statuses.get(200, 0)
            await asyncio.sleep(OUTAGE_S)
            # The replicas went on with what they had.
            assert fleet.statuses[200] - answered > SEATS
            ready = await fleet.get("/readyz")
            assert (ready.status_code, "unreachable" in ready.json()["state_store"]) == (200, True)
            assert "gateway_state_store_up 0.0" in (await fleet.get("/metrics")).text
            redis.start()
            await asyncio.sleep(3)
            await check(fleet)
            assert (await fleet.get("/readyz")).json()["state_store"] == "redis"
            assert "gateway_state_store_up 1.0" in (await fleet.get("/metrics")).text

    with three_replicas(tmp_path, redis) as (emulator_url, replicas):
        asyncio.run(endure(emulator_url, replicas))
        log = replicas[0].log.read_text()
        assert "state_store.disconnected" in log
        assert "state_store.connected" in log
