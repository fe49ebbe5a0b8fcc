"""The `serve` process: it starts with little, says what is wrong, and stops without cutting anybody off."""

import concurrent.futures
import contextlib
import json
import pathlib
import signal
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.hand_worker import HandWorker
from tests.processes import STOP_S_MAX, fairpod, free_port, serving_process
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.subject import EVENTS
from tests.waiting import BOUND_S, eventually

pytestmark = pytest.mark.server

HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def emulator_url() -> Iterator[str]:
    with serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY))) as url:
        yield url


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def stream(url: str, text: str) -> str:
    with httpx.stream(
        "POST", f"{url}/v1/chat/completions", json=asked(text, stream=True), headers=HEADERS, timeout=30
    ) as answer:
        return answer.read().decode()


def test_a_drain_lets_streams_finish(tmp_path: pathlib.Path) -> None:
    with (
        serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY, worker="none"))) as emulator_url,
        contextlib.closing(HandWorker(emulator_url)) as worker,
        serving_process(tmp_path, config_of(emulator_url, endpoint={"min_workers": 1}, drain_s=1000)) as (process, url),
        concurrent.futures.ThreadPoolExecutor(20) as pool,
    ):
        streams = [pool.submit(stream, url, "Hi") for _ in range(20)]
        jobs = worker.take(20)
        for job in jobs:
            worker.say(job, *EVENTS[:2])
        wait_for_exchanges(url, 20)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        refused = httpx.post(f"{url}/v1/chat/completions", json=asked("x"), headers=HEADERS)
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        for job in jobs:
            worker.say(job, *EVENTS[2:])
            worker.end(job)
        for each in streams:
            text = each.result(BOUND_S)
            assert text.endswith("data: [DONE]\n\n")
            assert '" there"' in text
        assert process.wait(STOP_S_MAX) == 0
    assert "Traceback" not in (tmp_path / "out.log").read_text()


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_an_offer_to_upgrade_is_not_taken_up(tmp_path: pathlib.Path, emulator_url: str, upgrade: str) -> None:
    offer = {"connection": "upgrade", "upgrade": upgrade, "sec-websocket-version": "13", "sec-websocket-key": "eA=="}
    with serving_process(tmp_path, config_of(emulator_url)) as (_, url):
        answer = httpx.get(f"{url}/v1/models", headers=HEADERS | offer)
        assert (answer.status_code, answer.json()["object"]) == (200, "list")
    assert "Traceback" not in (tmp_path / "out.log").read_text()


def test_what_outlives_the_drain_is_cut_and_cancelled(tmp_path: pathlib.Path, emulator_url: str) -> None:
    with (
        serving_process(tmp_path, config_of(emulator_url, drain_s=0.2)) as (process, url),
        concurrent.futures.ThreadPoolExecutor(5) as pool,
    ):
        streams = [pool.submit(stream, url, "slowly count to 1000") for _ in range(5)]
        wait_for_exchanges(url, 5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S_MAX) == 0
        for each in streams:
            last = each.result(BOUND_S).strip().split("\n\n")[-1]
            assert '"error"' in last
    running = [job for job in httpx.get(f"{emulator_url}/emulator/jobs").json() if job["state"] == "IN_PROGRESS"]
    assert running == []


def test_an_idle_process_stops_at_once(tmp_path: pathlib.Path, emulator_url: str) -> None:
    with serving_process(tmp_path, config_of(emulator_url, drain_s=1000)) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_S_MAX) == 0


def test_two_variables_and_no_file(tmp_path: pathlib.Path, emulator_url: str) -> None:
    environment = {
        "RUNPOD_API_KEY": RUNPOD_KEY,
        "RUNPOD_ENDPOINT_ID": "any",
        "RUNPOD_ENDPOINT_BASE_URL": f"{emulator_url}/v2",
        "XDG_STATE_HOME": str(tmp_path),
    }
    with serving_process(tmp_path, None, environment=environment) as (_, url):
        said = (tmp_path / "out.log").read_text()
        file = tmp_path / "fairpod" / "client-key"
        key = file.read_text().strip()
        assert f"stored in {file};" in said
        assert key not in said
        headers = {"authorization": f"Bearer {key}"}
        body = asked("count to 3") | {"model": "whatever/name"}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers)
        assert answer.json()["choices"][0]["message"]["content"] == "1 2 3"
        assert answer.json()["model"] == "whatever/name"
        assert 'model="other"' in httpx.get(f"{url}/metrics").text
        assert "whatever" not in httpx.get(f"{url}/metrics").text


def test_metrics_may_have_a_port_of_their_own(tmp_path: pathlib.Path, emulator_url: str) -> None:
    port = free_port()
    with serving_process(tmp_path, config_of(emulator_url, metrics_port=port)) as (_, url):
        assert "gateway_build_info" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert httpx.get(f"{url}/metrics").status_code == 404


def test_the_log_says_which_bodies_fit_into_little_memory(tmp_path: pathlib.Path, emulator_url: str) -> None:
    config = config_of(emulator_url, memory_bytes_max=128 * 1024 * 1024, logs={"format": "json"})
    with serving_process(tmp_path, config):
        lines = [json.loads(line) for line in (tmp_path / "out.log").read_text().splitlines() if line[:1] == "{"]
    (line,) = [line for line in lines if line["event"] == "gateway.memory"]
    assert line["level"] == "warning"
    assert line["body_bytes_max"] < line["parts"]["requests"] // 2


def test_what_is_wrong_is_said_in_one_line_each(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump({"endpoints": [{"name": "a", "id": "b", "route": "fast"}], "color": "red"}))
    for command in ("serve", "check-config"):
        done = fairpod(command, "--config", str(file))
        assert done.returncode == 2
        lines = done.stderr.splitlines()
        assert {line.split(":")[0] for line in lines} == {"color", "endpoints[0].route", "models", "tenants"}
    assert "set RUNPOD_API_KEY and RUNPOD_ENDPOINT_ID" in fairpod("serve").stderr
    assert fairpod("serve").returncode == 2


def test_a_good_file_is_called_good(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1")))
    done = fairpod("check-config", "--config", str(file))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_key_file_that_is_missing_is_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "f.yaml"
    config = config_of("http://127.0.0.1:1", endpoint={"api_key_file": str(tmp_path / "no-such-file")})
    del config["endpoints"][0]["api_key"]
    file.write_text(yaml.safe_dump(config))
    done = fairpod("check-config", "--config", str(file))
    assert done.returncode == 2
    assert "no-such-file" in done.stderr
    (tmp_path / "no-such-file").write_text("rpa_from_file\n")
    assert fairpod("check-config", "--config", str(file)).returncode == 0


def test_a_taken_port_is_said(tmp_path: pathlib.Path, emulator_url: str) -> None:
    with serving_process(tmp_path, config_of(emulator_url)) as (_, url):
        port = url.rsplit(":", 1)[1]
        done = fairpod("serve", "--config", str(tmp_path / "fairpod.yaml"), "--host", "127.0.0.1", "--port", port)
        assert done.returncode != 0
        assert "in use" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_taken_port_for_metrics_is_said_with_the_ways_out(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fairpod.yaml"
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1", metrics_port=port)))
        done = fairpod("serve", "--config", str(file), "--host", "127.0.0.1", "--port", str(free_port()))
    assert done.returncode == 1
    assert f"port {port} for /metrics" in done.stderr
    assert "in use" in done.stderr
    assert "`metrics_port: null`" in done.stderr
    done = fairpod("serve", "--config", str(file), "--host", "127.0.0.1", "--port", str(port))
    assert (done.returncode, done.stderr.split(":")[0]) == (2, "metrics_port")


def test_a_key_is_printed_with_its_line() -> None:
    done = fairpod("key", "--tenant", "acme")
    assert done.returncode == 0
    assert "fp-" in done.stdout
    assert "sha256:" in done.stdout


def wait_for_exchanges(url: str, count: int) -> None:
    eventually(lambda: httpx.get(f"{url}/readyz").json()["exchanges"] == count)
