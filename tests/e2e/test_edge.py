"""What strangers, and clients that behave badly, may take of a `serve` process."""

import contextlib
import os
import pathlib
import select
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.config.keys import key_line
from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.edge import error_of, read_all
from tests.processes import Served, free_port, served
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.waiting import BOUND_S, a_moment, eventually

pytestmark = pytest.mark.server

CLIENTS = {
    "head_bytes_max": 4096,
    "head_timeout_s": 3,
    "read_timeout_s": 3,
    "write_timeout_s": 3,
}
CONNECTIONS_MAX = 20
HELD_MAX = 18
"""Of one tenant that is alone."""
OTHERS = ("sk-second", "sk-third")
HARM_CPU_S_MAX = 10.0
RESIDENT_BYTES_MAX = 64 * 1024 * 1024
"""How much a process may grow by what a test does to it."""


@pytest.fixture(scope="module")
def emulator_url() -> Iterator[str]:
    with serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY))) as url:
        yield url


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, emulator_url: str) -> Iterator[Served]:
    """A process that waits for nobody; its metrics have a port of their own."""
    # On this route the answer comes in pieces; a page of a job may be as large as its worker made it.
    config = config_of(emulator_url, endpoint={"route": "openai"}, clients=CLIENTS, metrics_port=free_port())
    with served(tmp_path_factory.mktemp("strict"), config) as made:
        yield made


MEMORY_BYTES = 880 * 1024 * 1024
"""Of it 285 MiB are for requests, and half of those for one tenant alone: seven bodies that are being read."""


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, emulator_url: str) -> Iterator[Served]:
    # Its memory is given, as this machine's may be any.
    config = config_of(emulator_url, memory_bytes_max=MEMORY_BYTES)
    with served(tmp_path_factory.mktemp("usual"), config) as made:
        yield made


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, emulator_url: str) -> Iterator[Served]:
    """A process that has few connections, and waits for them as long as a busy machine needs to fill them."""
    tenants = [{"name": f"tenant-{number}", "keys": [key_line(key)]} for number, key in enumerate((KEY, *OTHERS))]
    clients = {"connections_max": CONNECTIONS_MAX}
    config = config_of(emulator_url, clients=clients, tenants=tenants, metrics_port=free_port())
    with served(tmp_path_factory.mktemp("narrow"), config) as made:
        yield made


def connect(to: Served) -> socket.socket:
    address = urlsplit(to.url)
    client = socket.create_connection((address.hostname or "", address.port or 0))
    client.settimeout(BOUND_S)
    return client


def head(size: int, *, key: str = KEY) -> bytes:
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: x",
        f"authorization: Bearer {key}",
        f"content-length: {size}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def post(to: Served, body: bytes, *, key: str = KEY) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{to.url}/v1/chat/completions", content=body, headers=headers, timeout=30)


def resident_bytes(of: Served) -> int:
    pages = pathlib.Path(f"/proc/{of.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def cpu_s(of: Served) -> float:
    """What it has computed so far, in seconds of a processor."""
    fields = pathlib.Path(f"/proc/{of.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_serving(subject: Served) -> bool:
    answer = post(subject, b'{"model":"m","messages":[{"role":"user","content":"count to 3"}]}')
    return bool(answer.json()["choices"][0]["message"]["content"] == "1 2 3")


def test_the_file_says_how_much_and_how_long(strict: Served) -> None:
    asked = (
        (b"GET /livez HTTP/1.1\r\na: " + b"x" * 5000, 431),
        (b"GET /livez HTTP/1.1\r\n", 408),
        (head(100) + b"{", 408),
        (b"\x16\x03\x01", 400),
    )
    with contextlib.ExitStack() as clients:
        # All are sent before any is waited for: it is the server's time that they take.
        waiting = [(clients.enter_context(connect(strict)), *each) for each in asked]
        for client, sent, _ in waiting:
            client.sendall(sent)
        for client, _, status in waiting:
            error_of(read_all(client), status)
    assert is_serving(strict)
    assert "Traceback" not in strict.log.read_text()


def test_a_body_that_stopped_leaves_a_line_and_nothing_else(strict: Served) -> None:
    with connect(strict) as client:
        client.sendall(head(100) + b'{"secret')
        error_of(read_all(client), 408)
    eventually(lambda: '"status":400' in strict.log.read_text().replace(" ", ""))
    assert "secret" not in strict.log.read_text()


@pytest.mark.parametrize("kind", ["silent", "idle", "refused"])
def test_strangers_keep_no_connection_from_a_tenant(narrow: Served, kind: str) -> None:
    clients = [connect(narrow) for _ in range(CONNECTIONS_MAX)]
    try:
        for client in clients:
            if kind == "idle":
                client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            elif kind == "refused":
                client.sendall(head(1000).replace(KEY.encode(), b"wrong") + b"x")
        if kind != "silent":
            status = {"idle": b"200", "refused": b"401"}[kind]
            assert [client.recv(65536).split(b" ")[1] for client in clients] == [status] * CONNECTIONS_MAX
        for _ in range(CONNECTIONS_MAX):
            assert post(narrow, b"null").status_code == 400
    finally:
        for client in clients:
            client.close()


def test_connections_beyond_the_most_are_told_and_probes_are_answered(narrow: Served) -> None:
    """One tenant leaves some to others; where tenants hold all, no one else is served."""
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"count to 1000000"}]}'
    clients = [connect(narrow) for _ in range(HELD_MAX)]
    try:
        for client in clients:
            client.sendall(head(len(body)) + body)
        eventually(lambda: httpx.get(f"{narrow.url}/readyz").json()["exchanges"] == HELD_MAX)
        answer = post(narrow, b"null")
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        for key in OTHERS:
            assert post(narrow, b"null", key=key).status_code == 400
            clients.append(connect(narrow))
            clients[-1].sendall(head(len(body), key=key) + body)
        eventually(lambda: httpx.get(f"{narrow.url}/readyz").json()["exchanges"] == CONNECTIONS_MAX)
        answer = post(narrow, b"null")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "server_is_overloaded"
        assert httpx.get(f"{narrow.url}/livez").status_code == 200
    finally:
        for client in clients:
            client.close()
    eventually(lambda: post(narrow, b"null").status_code == 400)


def test_a_stream_that_nobody_reads_is_cut(strict: Served) -> None:
    before = resident_bytes(strict)
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"count to 100000"}]}'
    with connect(strict) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(head(len(body)) + body)
        eventually(lambda: '"outcome":"client_left"' in strict.log.read_text().replace(" ", ""))
        assert resident_bytes(strict) - before < RESIDENT_BYTES_MAX
        assert b"[DONE]" not in read_all(client)


DEEP = 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP,
        b'{"model":"m","messages":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"model":"m","messages":[{"role":"user","content":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}]}",
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"x":'
        + b"[" * 950
        + b"]" * 950
        + b"}}",
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":' + b"9" * 1_000_000 + b"}",
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":1e999}',
        b'{"model":"m","messages":[{"role":"user","content":"\\udfff"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\x00"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'\xef\xbb\xbf{"model":"m","messages":[{"role":"user","content":"x"}]}',
        b"\xff\xfe{\x00}\x00",
        b"null",
        b"[]",
        b"",
        b"\x00" * 1000,
        b"{" + b'"a":1,' * 3_000_000 + b'"model":"m","messages":[{}]}',
    ],
    ids=range(16),
)
def test_json_that_is_made_to_harm_is_refused(usual: Served, body: bytes) -> None:
    before, begun_s = resident_bytes(usual), cpu_s(usual)
    answer = post(usual, body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert cpu_s(usual) - begun_s < HARM_CPU_S_MAX
    assert resident_bytes(usual) - before < RESIDENT_BYTES_MAX
    assert "Traceback" not in usual.log.read_text()


def test_what_is_only_odd_is_served(usual: Served) -> None:
    assert is_serving(usual)
    twice = b'{"model":"nobody","model":"m","messages":[{"role":"user","content":"count to 3"}]}'
    assert post(usual, twice).status_code == 200
    nul = b'{"model":"m","messages":[{"role":"user","content":"count to 3\\u0000"}],"seed":' + b"9" * 300 + b"}"
    assert post(usual, nul).status_code == 200
    assert post(usual, b'{"model":"m\\u0000","messages":[{}]}').status_code == 404


def answered(clients: list[socket.socket]) -> list[socket.socket]:
    """Those that have something to read."""
    return select.select(clients, [], [], 0)[0]


def test_one_key_cannot_fill_the_process_with_bodies(usual: Served) -> None:
    """Bodies that are begun and not ended."""
    size, before = 20 * 1024 * 1024, resident_bytes(usual)
    piece = b'{"x":"' + b"x" * (size - 100)
    clients: list[socket.socket] = []
    try:
        for _ in range(12):
            client = connect(usual)
            clients.append(client)
            client.sendall(head(size) + piece)
        eventually(lambda: len(answered(clients)) == 5)
        # The others are waited for.
        a_moment()
        refused = answered(clients)
        assert [client.recv(65536).split(b" ")[1] for client in refused] == [b"503"] * 5
        assert resident_bytes(usual) - before < 200 * 1024 * 1024
        assert is_serving(usual)
    finally:
        for client in clients:
            client.close()
