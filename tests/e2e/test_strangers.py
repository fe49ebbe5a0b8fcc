"""What strangers without a key may take of a `serve` process that has little: memory, descriptors, connections."""

import contextlib
import json
import pathlib
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.edge import read_all
from tests.processes import Served, fairpod, free_port, served
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.waiting import BOUND_S

pytestmark = pytest.mark.server

DESCRIPTORS = 128
STRANGERS = 200
FLOOD_BYTES = 50 * 1024 * 1024
GROWTH_BYTES_MAX = 10 * 1024 * 1024
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: wrong\r\ntransfer-encoding: chunked\r\n\r\n"
FLOODS = {
    "head": (b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: " + b"b" * 1000 + b"\r\n"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"a: " + b"b" * 1000 + b"\r\n"),
    "one trailer": (CHUNKED + b"0\r\na: ", b"b" * 1000),
    "extension": (CHUNKED + b"1;", b"e" * 1000),
    "extensions": (CHUNKED, b"1;" + b"e" * 1000 + b"\r\nx\r\n"),
    "empty lines": (b"", b"\r\n" * 500),
}


@pytest.fixture(scope="module")
def emulator_url() -> Iterator[str]:
    with serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY))) as url:
        yield url


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, emulator_url: str) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("usual"), config_of(emulator_url)) as made:
        assert is_served(made)
        yield made


@pytest.fixture
def poor(tmp_path: pathlib.Path, emulator_url: str) -> Iterator[Served]:
    """A process that may have few files open; its metrics have a port of their own."""
    made = Served(tmp_path, config_of(emulator_url, metrics_port=free_port()))
    made._command = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh", *made._command]
    made.start()
    try:
        yield made
    finally:
        made.kill()


def connect(to: Served) -> socket.socket:
    address = urlsplit(to.url)
    client = socket.create_connection((address.hostname or "", address.port or 0))
    client.settimeout(BOUND_S)
    return client


def is_served(subject: Served) -> bool:
    answer = httpx.post(
        f"{subject.url}/v1/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": "count to 3"}]},
        headers={"authorization": f"Bearer {KEY}"},
        timeout=BOUND_S,
    )
    return answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == "1 2 3"


def resident_bytes(of: Served) -> int:
    status = pathlib.Path(f"/proc/{of.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("kind", FLOODS)
def test_framing_takes_no_memory(usual: Served, kind: str) -> None:
    """The most that the process ever had counts, and not what is left when the flood is over."""
    before = resident_bytes(usual)
    beginning, piece = FLOODS[kind]
    flood = piece * (1_000_000 // len(piece))
    with connect(usual) as client:
        sent = 0
        with contextlib.suppress(ConnectionError):
            client.sendall(beginning)
            while sent < FLOOD_BYTES:
                client.sendall(flood)
                sent += len(flood)
        read_all(client)
    assert resident_bytes(usual) - before < GROWTH_BYTES_MAX
    assert is_served(usual)


@pytest.mark.parametrize("kind", ["silent", "idle"])
def test_strangers_leave_descriptors_for_tenants(poor: Served, kind: str) -> None:
    log = poor.log.read_text()
    (line,) = [line for line in log.splitlines() if '"connections.limited"' in line]
    assert json.loads(line)["level"] == "warning"
    assert '"configured": 10000' in log.replace('":1', '": 1')
    with contextlib.ExitStack() as clients:
        for _ in range(STRANGERS):
            client = clients.enter_context(connect(poor))
            if kind == "idle":
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        for _ in range(5):
            assert is_served(poor)
    log = poor.log.read_text()
    assert "UnreachableError" not in log
    assert "endpoint.down" not in log


def test_check_config_warns_where_there_are_too_few(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fairpod.yaml"
    config = config_of("http://127.0.0.1:1", clients={"connections_max": 100_000_000})
    file.write_text(yaml.safe_dump(config))
    done = fairpod("check-config", "--config", str(file))
    assert done.returncode == 0
    assert done.stderr.startswith("clients.connections_max: ")
    assert "instead of 100000000" in done.stderr
