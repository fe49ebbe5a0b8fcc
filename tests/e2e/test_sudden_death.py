"""A gateway that is killed, or told to stop, with a hundred streams open: nothing runs on that nobody waits for."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.processes import Served, served
from tests.redis_server import RedisServer
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.waiting import BOUND_S, eventually, eventually_here

pytestmark = pytest.mark.server

STREAMS = 100
STALL_S = 6.0
"""Longer than any pause of a healthy machine, and less than what counts as death."""
ENDPOINT = {"max_in_flight": STREAMS, "limits": {"stream": {"per_10s": 20_000, "concurrent": 400}}}


@pytest.fixture
def emulator_url() -> Iterator[str]:
    settings = EmulatorSettings(
        api_key=RUNPOD_KEY, worker_concurrency=2 * STREAMS, slow_token_interval_s=0.5, limits={}, limits_enforced=True
    )
    with serving(build_emulator(settings)) as url:
        yield url


def running_jobs(emulator_url: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = httpx.get(f"{emulator_url}/emulator/jobs").json()
    return [job for job in jobs if job["state"] in {"IN_QUEUE", "IN_PROGRESS"}]


def metric(gateway: Served, name: str) -> float:
    lines = httpx.get(f"{gateway.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


class Clients:
    """A hundred streams, each to its end or to the end of its gateway."""

    def __init__(self, url: str, words: int) -> None:
        self.begun = 0
        self.whole = 0
        self.told = 0
        """How many were told that their gateway had been taken for dead."""
        self.failed = 0
        self._url = f"{url}/v1/chat/completions"
        self._body = {"model": "m", "stream": True}
        self._body["messages"] = [{"role": "user", "content": f"slowly count to {words}"}]

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as tasks:
            for _ in range(STREAMS):
                tasks.create_task(self._stream(http))

    async def _stream(self, http: aiohttp.ClientSession) -> None:
        try:
            async with http.post(self._url, json=self._body, headers={"authorization": f"Bearer {KEY}"}) as answer:
                received = b""
                async for piece in answer.content.iter_any():
                    self.begun += b'"content":"1' in piece
                    received += piece
                self.whole += received.endswith(b"data: [DONE]\n\n")
                self.told += b"considered it dead" in received
        except aiohttp.ClientError:
            self.failed += 1

    async def until_begun(self) -> None:
        await eventually_here(lambda: self.begun >= STREAMS)


async def break_off(gateway: Served, clients: Clients, emulator_url: str) -> int:
    """Kill the gateway in mid-stream; return how many jobs it leaves."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(clients.run())
        await clients.until_begun()
        # One beat of the journal, for the last of them.
        await asyncio.sleep(1)
        gateway.kill()
        left = len(running_jobs(emulator_url))
        await running
    return left


@pytest.mark.parametrize("heir", ["restarted", "survivor"])
def test_with_redis_the_jobs_of_a_killed_gateway_are_cancelled(
    tmp_path: Path, emulator_url: str, redis: RedisServer, heir: str
) -> None:
    state = {"kind": "redis", "url": redis.url, "prefix": heir}
    config = config_of(emulator_url, endpoint=ENDPOINT, state=state)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with contextlib.ExitStack() as stack:
        killed = stack.enter_context(served(tmp_path / "first", config))
        survivor = stack.enter_context(served(tmp_path / "second", config)) if heir == "survivor" else None
        clients = Clients(killed.url, 200)
        assert asyncio.run(break_off(killed, clients, emulator_url)) == STREAMS
        assert clients.whole == 0
        if survivor is None:
            killed.start()
        # 21 s on a quiet machine: 10.5 until the silence counts as death, and 10 at Runpod's rate of cancels.
        eventually(lambda: not running_jobs(emulator_url))
        metrics = httpx.get(f"{(survivor or killed).url}/metrics").text
        assert f'gateway_orphans_total{{endpoint="chat"}} {STREAMS}.0' in metrics


@pytest.mark.parametrize(
    "is_taken_for_dead", [pytest.param(False, marks=pytest.mark.alone, id="briefly"), pytest.param(True, id="for long")]
)
def test_a_gateway_that_stands_still_for_a_while_keeps_its_streams(
    tmp_path: Path, emulator_url: str, redis: RedisServer, *, is_taken_for_dead: bool
) -> None:
    state = {"kind": "redis", "url": redis.url, "prefix": f"stall-{is_taken_for_dead}"}
    config = config_of(emulator_url, endpoint=ENDPOINT, state=state)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with served(tmp_path / "first", config) as stalled, served(tmp_path / "second", config) as survivor:
        clients = Clients(stalled.url, 40)

        async def stall() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(clients.run())
                await clients.until_begun()
                await asyncio.sleep(1)
                stalled.process.send_signal(signal.SIGSTOP)
                if is_taken_for_dead:
                    await eventually_here(lambda: metric(survivor, "gateway_orphans_total"))
                else:
                    await asyncio.sleep(STALL_S)
                stalled.process.send_signal(signal.SIGCONT)

        asyncio.run(stall())
        # Each that was not cancelled goes on; the others are told why there is no more.
        assert clients.whole + clients.told == STREAMS
        assert clients.failed == 0
        cancelled = metric(survivor, "gateway_orphans_total")
        if is_taken_for_dead:
            # More than were confirmed to the neighbour: a cancel may be under way when its job is taken back.
            assert 0 < cancelled <= clients.told < STREAMS
        else:
            assert clients.told == cancelled == 0
        assert metric(stalled, "gateway_orphans_total") == 0
        assert not running_jobs(emulator_url)


def test_without_redis_no_job_of_a_killed_gateway_outlives_its_ttl(tmp_path: Path, emulator_url: str) -> None:
    # The time to live is what may be waited for a worker and for an answer, and a minute.
    endpoint = {**ENDPOINT, "cold_start_timeout_s": 5, "execution_timeout_s": 5}
    with served(tmp_path, config_of(emulator_url, endpoint=endpoint)) as gateway:
        assert asyncio.run(break_off(gateway, Clients(gateway.url, 200), emulator_url)) == STREAMS
    submitted = {job["id"]: job["submitted_s"] for job in running_jobs(emulator_url)}
    eventually(lambda: not running_jobs(emulator_url))
    assert len(submitted) == STREAMS


def test_a_hundred_streams_end_inside_the_drain(tmp_path: Path, emulator_url: str) -> None:
    with served(tmp_path, config_of(emulator_url, endpoint=ENDPOINT, drain_s=30)) as gateway:
        clients = Clients(gateway.url, 12)

        async def drain() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(clients.run())
                await clients.until_begun()
                gateway.process.terminate()

        asyncio.run(drain())
        assert gateway.process.wait(BOUND_S) == 0
    assert (clients.whole, clients.failed) == (STREAMS, 0)
    assert not running_jobs(emulator_url)
