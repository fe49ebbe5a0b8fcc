"""A pipe for the log that nobody reads, full from the start: the gateway serves, and ends when it is told to."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import yaml

from tests.processes import STOP_S_MAX, free_port
from tests.stacks import config_of
from tests.suite_secrets import SUITE
from tests.waiting import BOUND_S, eventually

pytestmark = pytest.mark.server

REQUESTS = 1000
FILL = b"x" * 65536


@contextlib.contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """Yield the reading and the writing end of a pipe that takes no more; a write to it blocks."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, FILL)
    os.set_blocking(writing, True)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def read_all(descriptor: int) -> str:
    os.set_blocking(descriptor, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(descriptor, 65536):
            found += piece
    return found.decode()


@contextlib.contextmanager
def serving_into(pipe: int, directory: pathlib.Path) -> Iterator[tuple["subprocess.Popen[bytes]", httpx.Client]]:
    port = free_port()
    file = directory / "fairpod.yaml"
    file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1")))
    command = [sys.executable, "-m", "gateway", "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen([*command, "--config", str(file)], stdout=pipe, stderr=pipe)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=BOUND_S) as client:

            def is_ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return client.get("/readyz").status_code == 200
                return False

            eventually(is_ready)
            yield process, client
    finally:
        process.kill()
        process.wait(STOP_S_MAX)


def test_a_log_pipe_that_nobody_reads_stops_no_request_and_no_end(tmp_path: pathlib.Path) -> None:
    with full_pipe() as (reading, writing):
        with serving_into(writing, tmp_path) as (process, client):
            for _ in range(REQUESTS):
                assert client.post("/v1/chat/completions", json={}).status_code == 401
            assert client.get("/livez").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S_MAX) == 0
        assert read_all(reading).strip("x") == ""


def test_what_was_queued_is_written_when_somebody_reads_again(tmp_path: pathlib.Path) -> None:
    with full_pipe() as (reading, writing):
        with serving_into(writing, tmp_path) as (process, client):
            for _ in range(10):
                client.post("/v1/chat/completions", json={})
            found = read_all(reading)
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_S_MAX)
        found += read_all(reading)
        SUITE.check("log pipe", found)
        assert found.count('"exchange.settled"') == 10
        assert found.count('"gateway.drained"') == 1
