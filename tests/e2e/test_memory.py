"""A process whose every part of memory is asked for several times over, at once."""

import asyncio
import collections
import contextlib
import itertools
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.config.keys import key_line
from tests.processes import Served, served
from tests.serving import serving
from tests.stacks import RUNPOD_KEY
from tests.waiting import BOUND_S, eventually

pytestmark = pytest.mark.server

MI = 1024 * 1024
MEMORY_BYTES = 320 * MI
TENANTS = 6
BODY_BYTES = 9 * MI
WAITING, LARGE, MANIFOLD, KEPT = 40, 40, 4, 300


def completion(size: int) -> bytes:
    message = {"role": "assistant", "content": "w" * size}
    return msgspec.json.encode({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


PAGES = {
    "large": b'{"status":"COMPLETED","stream":[{"output":' + completion(MI) + b"}]}",
    "kept": b'{"status":"COMPLETED","stream":[{"output":' + completion(100_000) + b"}]}",
    "manifold": b'{"status":"IN_PROGRESS","stream":[' + b"{}," * 4_000_000 + b"{}]}",
    "waiting": b'{"status":"IN_PROGRESS","stream":[]}',
}
"""By the prompt of the request, which becomes the id of its job."""


async def runpod(scope: Any, receive: Any, send: Any) -> None:
    """Answer as a job API whose jobs are all of the kind that their prompts name."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    start, is_more = b"", True
    while is_more:
        message = await receive()
        start, is_more = (start + message["body"][:4000])[:4000], message["more_body"]
    operation, _, job_id = scope["path"].removeprefix("/v2/ep1/").partition("/")
    match operation:
        case "run":
            prompt = re.search(rb'"content":"(\w+)"', start)
            body = b'{"id":"%b"}' % (prompt[1] if prompt else b"none")
        case "stream":
            body = PAGES[job_id]
            if job_id == "waiting":
                await asyncio.sleep(1)
        case "health":
            # What was submitted without a reply holds its seat until this shows that nothing runs.
            body = b'{"jobs":{"inQueue":0,"inProgress":0},"workers":{"running":8}}'
        case _:
            body = b'{"status":"CANCELLED"}'
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Crowd:
    """Clients, a thread each: they send from what all of them share, and keep nothing of their answers."""

    def __init__(self, port: int) -> None:
        self.told: collections.Counter[tuple[str, int]] = collections.Counter()
        """How many of a kind had which status; 0 where the connection broke before one came."""
        self.may_read = threading.Event()
        self._port = port
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._numbers = itertools.count()
        self._padding = b"y" * BODY_BYTES

    def send(
        self,
        kind: str,
        count: int,
        *,
        model: str = "m",
        padding: int = 0,
        is_keyed: bool = False,
        is_slow: bool = False,
    ) -> None:
        for _ in range(count):
            start = b'{"model":"%b","messages":[{"role":"user","content":"%b"}],"user":"'
            body = (start % (model.encode(), kind.encode()), self._padding[:padding], b'"}')
            thread = threading.Thread(target=self._ask, args=(kind, body, is_keyed, is_slow))
            self._threads.append(thread)
            thread.start()

    def leave(self) -> None:
        """Let all go."""
        self.may_read.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(BOUND_S)
        for each in self._sockets:
            each.close()

    def count(self, kind: str) -> int:
        return sum(count for (name, _), count in self.told.items() if name == kind)

    def _ask(self, kind: str, body: tuple[bytes, ...], is_keyed: bool, is_slow: bool) -> None:
        number = next(self._numbers)
        headers = [
            b"POST /v1/chat/completions HTTP/1.1",
            b"host: x",
            b"connection: close",
            b"authorization: Bearer key-%d" % (number % TENANTS),
            b"content-length: %d" % sum(map(len, body)),
        ]
        if is_keyed:
            headers.append(b"idempotency-key: k%d" % number)
        status = 0
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", self._port), timeout=BOUND_S)
            self._sockets.append(connection)
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"\r\n".join([*headers, b"", b""]))
                for part in body:
                    connection.sendall(part)
            head = connection.recv(1000)
            status = int(head.split()[1]) if head else 0
            if is_slow:
                # By then the others have theirs as well, or are refused.
                self.told[kind, status] += 1
                self.may_read.wait(BOUND_S)
            while connection.recv(MI):
                pass
        if not is_slow:
            self.told[kind, status] += 1


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[tuple[Served, Crowd]]:
    with serving(runpod) as upstream:
        endpoint = {
            "name": "chat", "id": "ep1", "base_url": f"{upstream}/v2", "api_key": RUNPOD_KEY, "route": "job",
            "max_in_flight": 20, "min_workers": 1, "queue_timeout_s": 600,
        }  # fmt: skip
        config = {
            "endpoints": [endpoint, {**endpoint, "name": "other"}],
            "models": [{"id": "m", "endpoint": "chat"}, {"id": "other", "endpoint": "other"}],
            "tenants": [{"name": f"t{number}", "keys": [key_line(f"key-{number}")]} for number in range(TENANTS)],
            "memory_bytes_max": MEMORY_BYTES,
            "metrics_port": None,
            "drain_s": 0,
        }
        with served(tmp_path, config) as process:
            crowd = Crowd(process.port)
            try:
                yield process, crowd
            finally:
                crowd.leave()


def held(url: str) -> float:
    """Count the requests that wait or are served."""
    text = httpx.get(f"{url}/metrics").text
    return sum(
        float(each) for each in re.findall(r"^gateway_(?:queued|inflight)_requests\{.*\} (\S+)$", text, re.MULTILINE)
    )


def peak_bytes(process: Served) -> int:
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return 1024 * int(found[1])


def test_a_process_that_is_asked_for_more_than_its_memory_refuses_and_lives(crowded: tuple[Served, Crowd]) -> None:
    process, crowd = crowded
    crowd.send("kept", KEPT, is_keyed=True)
    eventually(lambda: crowd.count("kept") == KEPT, or_show=lambda: crowd.told)
    crowd.send("waiting", WAITING, model="m", padding=BODY_BYTES)
    crowd.send("waiting", WAITING, model="other", padding=BODY_BYTES)
    crowd.send("manifold", MANIFOLD, model="other")
    crowd.send("large", LARGE, model="other", is_slow=True)
    eventually(
        lambda: (
            crowd.count("manifold") == MANIFOLD
            and crowd.count("large") == LARGE
            and crowd.count("waiting") + held(process.url) >= 2 * WAITING
        ),
        or_show=lambda: crowd.told,
    )
    assert process.process.poll() is None
    assert peak_bytes(process) < MEMORY_BYTES
    statuses = {kind: {status for name, status in crowd.told if name == kind} for kind in PAGES}
    # A client that still sends may miss why its connection is closed.
    assert statuses["waiting"] <= {503, 0}
    assert statuses["manifold"] <= {502, 503}
    assert statuses["large"] == {200, 503}
    assert statuses["kept"] == {200}
    crowd.leave()
    eventually(lambda: not held(process.url))
    crowd.send("kept", 1)
    eventually(lambda: crowd.count("kept") == KEPT + 1)
    assert crowd.told["kept", 200] == KEPT + 1
