"""A client that goes away takes its job with it."""

import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.emulator.faults import Faults
from gateway.emulator.settings import EmulatorSettings
from tests.stacks import KEY, RUNPOD_KEY, Stack, stack

CANCEL_S_MAX = 0.1


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack() as made:
        yield made


def connect(at: Stack, body: str) -> socket.socket:
    """A client that has sent its request and reads nothing yet."""
    address = urlsplit(at.url)
    client = socket.create_connection((address.hostname or "", address.port or 0))
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: x",
        f"authorization: Bearer {KEY}",
        f"content-length: {len(body)}",
    ]
    client.sendall("\r\n".join([*lines, "", body]).encode())
    return client


def wait_for(condition: Any, seconds: float) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")


def cancel_of(at: Stack, job_id: str) -> dict[str, Any] | None:
    return next((call for call in at.calls() if call["operation"] == "cancel" and call["job_id"] == job_id), None)


def kill_and_time_the_cancel(at: Stack, client: socket.socket, job_id: str) -> float:
    """Seconds from the client's end to the cancel's arrival, both on the machine's monotonic clock."""
    left_at_s = time.monotonic()
    client.close()
    call = wait_for(lambda: cancel_of(at, job_id), 5)
    return float(call["at_s"]) - left_at_s


def test_a_client_killed_in_mid_stream_cancels_its_job(running: Stack) -> None:
    body = '{"model":"m","stream":true,"messages":[{"role":"user","content":"slowly count to 200"}]}'
    for _ in range(3):
        client = connect(running, body)
        received = b""
        while b'"content":"2' not in received and b" 2" not in received:
            received += client.recv(65536)
        job_id = received.split(b"x-fairpod-job-id: ")[1].split(b"\r\n")[0].decode()
        assert kill_and_time_the_cancel(running, client, job_id) < CANCEL_S_MAX
        state = wait_for(
            lambda job_id=job_id: [j for j in running.jobs() if j["id"] == job_id and j["state"] == "CANCELLED"], 2
        )
        assert state


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_killed_while_its_job_waits_cancels_it(stream: str) -> None:
    settings = EmulatorSettings(api_key=RUNPOD_KEY, faults=Faults(cold_start_s=30))
    with stack(settings) as cold:
        client = connect(cold, f'{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"x"}}]}}')
        (job,) = wait_for(cold.jobs, 5)
        assert job["state"] == "IN_QUEUE"
        assert kill_and_time_the_cancel(cold, client, job["id"]) < CANCEL_S_MAX
        counted = 'gateway_cancels_total{endpoint="chat",outcome="ok"} 1.0'
        wait_for(lambda: counted in httpx.get(f"{cold.url}/metrics").text, 2)


def test_a_burst_of_leavers_starves_nobody(running: Stack) -> None:
    body = '{"model":"m","stream":true,"messages":[{"role":"user","content":"slowly count to 200"}]}'
    clients = [connect(running, body) for _ in range(12)]
    for client in clients:
        client.recv(1)
        client.close()
    started = time.monotonic()
    answer = httpx.post(
        f"{running.base_url}/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": "count to 3"}]},
        headers={"authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 200
    assert time.monotonic() - started < 5
