"""`fairpod serve` takes other configurations while it is under load: nobody is failed, and nothing is lost."""

import asyncio
import contextlib
import itertools
import pathlib
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, TextIO

import aiohttp
import httpx
import pytest
import yaml

from gateway.config.keys import key_line
from tests.e2e.test_workers import children
from tests.effort import tries
from tests.processes import STOP_S_MAX, Served, free_port, served
from tests.redis_server import redis_server
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.waiting import eventually, eventually_here

pytestmark = pytest.mark.server

REQUESTS = tries(10_000)
CONNECTIONS = 40
RELOADS = tries(50)
UNASKED = {RELOADS * part // 100 for part in (18, 50, 84)}
"""Reloads that no signal asks for: the file alone has to be noticed."""
BAD = "tenants: [{name: acme, keys: ["
UNLIMITED = {"per_10s": 1_000_000, "concurrent": 1000}
PATH = "/v1/chat/completions"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "count to 1"}]}
TOLD = re.compile(r'"event": "config\.(\w+)"')


@pytest.fixture
def emulator_url() -> Iterator[str]:
    """In a process of its own, and without limits: it is not what is tried here."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "emulator", "--port", str(port), "--api-key", RUNPOD_KEY]
    process = subprocess.Popen([*command, "--no-limits-enforced", "--worker-concurrency", "1000"])
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(url))
        yield url
    finally:
        process.kill()
        process.wait(STOP_S_MAX)


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        httpx.get(url)
        return True
    return False


def config(emulator_url: str, turn: int) -> dict[str, Any]:
    """Good in every turn: two keys stay, one goes and one comes, and everything else that can be taken changes."""
    endpoint = {"route": "openai", "max_in_flight": (16, 64)[turn % 2], "limits": {"openai": UNLIMITED}}
    raw = config_of(emulator_url, endpoint=endpoint, drain_s=5 + turn, logs={"format": "json"})
    raw["models"] += [{"id": f"model-{turn}", "endpoint": "chat"}]
    raw["tenants"] = [
        {"name": "acme", "keys": [key_line(KEY)], "weight": 1 + turn % 3},
        {"name": "beta", "keys": [key_line("fp-beta")], "max_in_flight": 1000 + turn},
        {"name": "rotating", "keys": [key_line(f"fp-{turn}")]},
        {"name": f"tenant-{turn}", "keys": []},
    ]
    return raw


class Crowd:
    """Clients that ask again as soon as they are answered, until so many have been."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.answers: Counter[str] = Counter()
        self.sent = 0

    async def client(self, key: str) -> None:
        while self.sent < REQUESTS:
            self.sent += 1
            self.answers[await self.ask(key)] += 1

    async def ask(self, key: str) -> str:
        try:
            headers = {"authorization": f"Bearer {key}"}
            async with self.http.post(self.url + PATH, json=ASKED, headers=headers) as answer:
                body = await answer.json()
                return str(answer.status) if answer.status != 200 else body["choices"][0]["message"]["content"]
        except aiohttp.ClientError as error:
            return repr(error)


class Operator:
    """Puts other files in place, and waits until the log says what became of each."""

    def __init__(self, gateway: Served, emulator_url: str, directory: pathlib.Path, log: TextIO) -> None:
        self.file = directory / "fairpod.yaml"
        self.gateway = gateway
        self.emulator_url = emulator_url
        self.log = log

    async def reload(self, turn: int) -> str:
        """Write the file of a turn, whole at once or in place, and have it read."""
        text = BAD if turn % 5 == 4 else yaml.safe_dump(config(self.emulator_url, turn))
        if turn % 2:
            self.file.write_text(text)
        else:
            new = self.file.with_suffix(".new")
            new.write_text(text)
            new.rename(self.file)
        if turn not in UNASKED:
            self.gateway.process.send_signal(signal.SIGHUP)
        seen = ""

        def told() -> re.Match[str] | None:
            nonlocal seen
            seen += self.log.read()
            return TOLD.search(seen)

        found = await eventually_here(told)
        assert found is not None
        return found[1]


async def reload_under_load(crowd: Crowd, operator: Operator) -> None:
    """All reloads while all requests are made; after each that is taken the revoked key is tried at once."""
    async with asyncio.TaskGroup() as clients:
        for key in itertools.islice(itertools.cycle((KEY, "fp-beta")), CONNECTIONS):
            clients.create_task(crowd.client(key))
        valid = 0
        for turn in range(1, RELOADS + 1):
            while crowd.sent < REQUESTS * turn / (RELOADS + 1):
                await asyncio.sleep(0.01)
            outcome = await operator.reload(turn)
            assert outcome == ("refused" if turn % 5 == 4 else "reloaded")
            if outcome == "reloaded":
                assert await crowd.ask(f"fp-{valid}") == "401"
                valid = turn
            assert await crowd.ask(f"fp-{valid}") == "1"


async def crowd_during_reloads(gateway: Served, emulator_url: str, directory: pathlib.Path) -> Crowd:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as http:
        crowd = Crowd(gateway.url, http)
        with gateway.log.open() as log:
            await reload_under_load(crowd, Operator(gateway, emulator_url, directory, log))
        return crowd


def test_requests_during_reloads(tmp_path: pathlib.Path, emulator_url: str) -> None:
    with served(tmp_path, config(emulator_url, 0)) as gateway:
        crowd = asyncio.run(crowd_during_reloads(gateway, emulator_url, tmp_path))
        metrics = httpx.get(f"{gateway.url}/metrics").text
        ready = httpx.get(f"{gateway.url}/readyz").json()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(STOP_S_MAX) == 0
    assert crowd.answers == {"1": REQUESTS}
    assert ready["exchanges"] == 0
    assert value(metrics, "gateway_config_reloads_total", 'outcome="taken"') == RELOADS - RELOADS // 5
    assert value(metrics, "gateway_config_reloads_total", 'outcome="refused"') == RELOADS // 5
    assert value(metrics, "gateway_config_last_reload_successful") == 1
    assert value(metrics, "gateway_bugs_total") == 0
    for gauge in ("gateway_inflight_requests", "gateway_queued_requests", "gateway_cancels_pending"):
        assert sum(float(number) for number in re.findall(rf"^{gauge}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE)) == 0
    assert value(metrics, "gateway_requests_total", 'model="m",outcome="completed",route="openai",tenant="acme"') > 0
    log = gateway.log.read_text()
    assert "Traceback" not in log
    assert "sha256" not in log
    assert "fp-" not in log


def value(metrics: str, name: str, labels: str = "") -> float:
    (number,) = re.findall(rf"^{name}{re.escape('{' + labels + '}') if labels else ''} (\S+)$", metrics, re.MULTILINE)
    return float(number)


def test_a_signal_reaches_every_worker_and_one_that_is_lost_waits_for_a_good_file(tmp_path: pathlib.Path) -> None:
    with redis_server(tmp_path) as redis:
        state = {"kind": "redis", "url": redis.url}
        raw = config_of("http://127.0.0.1:1", state=state, logs={"format": "json"})
        file = tmp_path / "fairpod.yaml"
        with served(tmp_path, raw, "--workers", "2") as gateway:
            eventually(lambda: gateway.log.read_text().count("state_store.connected") == 2)
            file.write_text(yaml.safe_dump({**raw, "drain_s": 1}))
            gateway.process.send_signal(signal.SIGHUP)
            eventually(lambda: gateway.log.read_text().count("config.reloaded") == 2)
            file.write_text(BAD)
            gateway.process.send_signal(signal.SIGHUP)
            eventually(lambda: gateway.log.read_text().count("config.refused") == 2)
            before = children(gateway.process.pid)
            subprocess.run(["kill", "-KILL", str(before[0])], check=True)
            eventually(lambda: "exited with code 2" in gateway.log.read_text())
            assert httpx.get(f"{gateway.url}/livez").status_code == 200
            file.write_text(yaml.safe_dump(raw))
            eventually(lambda: gateway.log.read_text().count("state_store.connected") == 3)
            assert before[1] in children(gateway.process.pid)


def test_without_a_file_the_signal_ends_the_process_as_ever(tmp_path: pathlib.Path) -> None:
    with served(tmp_path, None, environment={"RUNPOD_API_KEY": "k", "RUNPOD_ENDPOINT_ID": "e"}) as gateway:
        gateway.process.send_signal(signal.SIGHUP)
        assert gateway.process.wait(STOP_S_MAX) == -signal.SIGHUP
