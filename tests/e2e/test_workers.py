"""`fairpod serve --workers N`: several processes, one address."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
import yaml

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.demo.processes import wait_until_gone
from tests.processes import STOP_S_MAX, Served, fairpod, free_port, served
from tests.redis_server import redis_server
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.waiting import eventually

pytestmark = pytest.mark.server

WORKERS = 3


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Served]:
    with (
        redis_server(tmp_path) as redis,
        serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY, wait_s_min=0.0))) as emulator_url,
    ):
        config = config_of(emulator_url, state={"kind": "redis", "url": redis.url}, drain_s=5, logs={"format": "json"})
        with served(tmp_path, config, "--workers", str(WORKERS)) as made:
            eventually(lambda: made.log.read_text().count("state_store.connected") == WORKERS)
            yield made


def ask(url: str) -> str | None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "count to 3"}])
        return answer.choices[0].message.content


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_all_of_them_answer_and_a_lost_one_is_replaced(running: Served) -> None:
    workers = children(running.process.pid)
    assert len(workers) == WORKERS
    assert {ask(running.url) for _ in range(6)} == {"1 2 3"}
    os.kill(workers[0], signal.SIGKILL)
    eventually(lambda: len(set(children(running.process.pid)) - {workers[0]}) == WORKERS)
    assert len(children(running.process.pid)) == WORKERS
    assert ask(running.url) == "1 2 3"


def test_a_signal_drains_them_all(running: Served) -> None:
    workers = children(running.process.pid)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(STOP_S_MAX) == 0
    assert wait_until_gone(workers) == []
    assert running.log.read_text().count("gateway.drained") == WORKERS


def test_they_do_not_outlive_their_parent(running: Served) -> None:
    workers = children(running.process.pid)
    running.kill()
    assert wait_until_gone(workers) == []
    with pytest.raises(httpx.TransportError):
        httpx.get(running.url)


def test_several_processes_need_a_store() -> None:
    environment = {"RUNPOD_API_KEY": "k", "RUNPOD_ENDPOINT_ID": "e"}
    run = fairpod("serve", "--workers", "2", environment=environment)
    assert run.returncode == 2
    assert "state: {kind: redis" in run.stderr
    assert fairpod("serve", "--workers", "0", environment=environment).returncode == 2


def test_a_taken_port_for_metrics_ends_them_all(tmp_path: Path) -> None:
    file = tmp_path / "fairpod.yaml"
    state = {"kind": "redis", "url": f"redis://127.0.0.1:{free_port()}/0"}
    options = ["--config", str(file), "--host", "127.0.0.1", "--port", str(free_port()), "--workers", "2"]
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1", metrics_port=port, state=state, drain_s=0)))
        run = fairpod("serve", *options)
    assert run.returncode == 1
    assert f"port {port} for /metrics" in run.stderr
    assert "will be restarted" not in run.stderr
