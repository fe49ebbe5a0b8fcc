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
from tests.waiting import BOUND_S, eventually

pytestmark = pytest.mark.server

CANCEL_S_MAX = 0.1
LEAVERS = 5


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


def cancel_of(at: Stack, job_id: str) -> dict[str, Any] | None:
    return next((call for call in at.calls() if call["operation"] == "cancel" and call["job_id"] == job_id), None)


def begin_stream(at: Stack) -> tuple[socket.socket, str]:
    """A client in the middle of its stream, and the id of its job."""
    client = connect(at, '{"model":"m","stream":true,"messages":[{"role":"user","content":"slowly count to 200"}]}')
    received = b""
    while b'"content":"2' not in received and b" 2" not in received:
        received += client.recv(65536)
    return client, received.split(b"x-fairpod-job-id: ")[1].split(b"\r\n")[0].decode()


def test_a_client_killed_in_mid_stream_cancels_its_job(running: Stack) -> None:
    client, job_id = begin_stream(running)
    client.close()
    eventually(lambda: cancel_of(running, job_id))
    eventually(lambda: [job for job in running.jobs() if job["id"] == job_id and job["state"] == "CANCELLED"])


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_killed_while_its_job_waits_cancels_it(stream: str) -> None:
    settings = EmulatorSettings(api_key=RUNPOD_KEY, faults=Faults(cold_start_s=1000))
    with stack(settings, endpoint={"cold_start_timeout_s": 2000}) as cold:
        client = connect(cold, f'{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"x"}}]}}')
        (job,) = eventually(cold.jobs)
        assert job["state"] == "IN_QUEUE"
        client.close()
        eventually(lambda: cancel_of(cold, job["id"]))
        counted = 'gateway_cancels_total{endpoint="chat",outcome="ok"} 1.0'
        eventually(lambda: counted in httpx.get(f"{cold.url}/metrics").text)


@pytest.mark.alone
def test_the_cancel_of_a_client_that_was_killed_comes_at_once(running: Stack) -> None:
    """From its end to the cancel's arrival, both by the machine's monotonic clock."""
    for _ in range(LEAVERS):
        client, job_id = begin_stream(running)
        left_at_s = time.monotonic()
        client.close()
        call = eventually(lambda job_id=job_id: cancel_of(running, job_id))
        assert float(call["at_s"]) - left_at_s < CANCEL_S_MAX


def test_a_burst_of_leavers_starves_nobody(running: Stack) -> None:
    body = '{"model":"m","stream":true,"messages":[{"role":"user","content":"slowly count to 200"}]}'
    clients = [connect(running, body) for _ in range(12)]
    for client in clients:
        client.recv(1)
        client.close()
    answer = httpx.post(
        f"{running.base_url}/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": "count to 3"}]},
        headers={"authorization": f"Bearer {KEY}"},
        timeout=BOUND_S,
    )
    assert answer.status_code == 200
