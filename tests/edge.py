"""A small application behind the gateway's HTTP protocol, on a real socket, with what its connections hold in sight.

The time by which clients are late is the test's: it passes when `Edge.pass_time` is called.
"""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel

import gateway.connection_limits
from gateway.api.key_acceptance import accept
from gateway.connection_limits import ClientLimits, Connections, Refusal
from gateway.server.protocol import BoundedProtocol
from gateway.server.run import _server
from tests.fakes.clock import FakeClock
from tests.waiting import BOUND_S, eventually

FLOOD_BYTES = 64 * 1024 * 1024
PIECE = b"x" * 16 * 1024
START = {"type": "http.response.start", "status": 200, "headers": []}


class App:
    """Answers by path, and notes what happened."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.sent_bytes = 0
        self.may_read = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        self.seen.append(scope["path"])
        self.acceptance = scope.get("fairpod.acceptance")
        if scope["path"] in {"/held", "/upload"}:
            # Each client is a tenant of its own.
            accept(scope, str(scope["client"]), is_guest=False)
        await getattr(self, "answer_" + scope["path"].strip("/"))(receive, send)

    async def answer_length(self, receive: Any, send: Any) -> None:
        """How long the body is, or that it ended early."""
        size, is_more = 0, True
        while is_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.seen.append("gone")
                return
            size, is_more = size + len(message["body"]), message["more_body"]
        await self._whole(send, str(size).encode())

    async def answer_unread(self, _receive: Any, send: Any) -> None:
        """An answer that does not wait for the body."""
        await self._whole(send, b"early")

    answer_livez = answer_unread

    answer_upload = answer_length
    """The same as `answer_length`, for a key that was accepted."""

    async def answer_late(self, receive: Any, _send: Any) -> None:
        """One whose key is accepted after its client has left."""
        while (await receive())["type"] != "http.disconnect":
            pass
        accept({"fairpod.acceptance": self.acceptance}, "late", is_guest=False)
        self.seen.append("gone")

    async def answer_held(self, receive: Any, send: Any) -> None:
        """One for a key that was accepted, when the test says so."""
        await self.answer_later(receive, send)

    async def answer_later(self, receive: Any, send: Any) -> None:
        """One that asks for the body when the test says so."""
        while not self.may_read.is_set():
            await anyio.sleep(0.01)
        await self.answer_length(receive, send)

    async def answer_flood(self, _receive: Any, send: Any) -> None:
        """A stream of many bytes."""
        await send(START)
        for _ in range(FLOOD_BYTES // len(PIECE)):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.sent_bytes += len(PIECE)
            await anyio.lowlevel.checkpoint()
        self.seen.append("sent")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer_large(self, _receive: Any, send: Any) -> None:
        """Many bytes in one piece."""
        await self._whole(send, b"x" * FLOOD_BYTES)

    async def answer_cut(self, _receive: Any, send: Any) -> None:
        """Half an answer."""
        await send(START)
        await send({"type": "http.response.body", "body": b"x" * 8 * 1024 * 1024, "more_body": True})

    async def answer_stream(self, _receive: Any, send: Any) -> None:
        """A blank line, a pause, and the rest, as a slow whole answer is sent."""
        await send(START)
        await send({"type": "http.response.body", "body": b"\n", "more_body": True})
        await anyio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"{}", "more_body": False})

    async def answer_half(self, _receive: Any, send: Any) -> None:
        """A few bytes of a stream, without its end."""
        await send(START)
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})

    async def answer_endless(self, _receive: Any, send: Any) -> None:
        """A stream that goes on until the server is told that its client left."""
        await self.answer_half(_receive, send)
        await _receive()
        await _receive()

    async def answer_broken(self, _receive: Any, _send: Any) -> None:
        """An application that fails before it answers."""
        raise RuntimeError("broken on purpose")

    async def _whole(self, send: Any, body: bytes) -> None:
        await send({**START, "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Edge:
    """The server, as a client and as the test see it."""

    def __init__(self, app: App, connections: Connections, clock: FakeClock) -> None:
        self.app = app
        self.port = 0
        self.refused: list[tuple[Refusal, str]] = []
        """Who was refused, with the id of the answer."""
        self.loop: asyncio.AbstractEventLoop
        self._connections = connections
        self._clock = clock

    @property
    def open(self) -> list[BoundedProtocol]:
        """The connections that the server has."""
        return [each for each in list(self._connections.open) if isinstance(each, BoundedProtocol)]

    @property
    def held_count(self) -> int:
        """How many connections tenants hold."""
        return self._connections._held_count

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        """A client."""
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(BOUND_S)
        client.connect(("127.0.0.1", self.port))
        return client

    def ask(self, sent: bytes) -> bytes:
        """All that is answered until the server closes."""
        with self.connect() as client:
            client.sendall(sent)
            return read_all(client)

    def ask_slowly(self, sent: bytes, condition: Callable[[BoundedProtocol], Any], seconds: float) -> bytes:
        """The same, where time passes once the server has got so far."""
        with self.connect() as client:
            client.sendall(sent)
            self.until(condition)
            self.pass_time(seconds)
            return read_all(client)

    def until(self, condition: Callable[[BoundedProtocol], Any]) -> BoundedProtocol:
        """Wait until it is so of the server's only connection."""
        return eventually(lambda: next((each for each in self.open if len(self.open) == 1 and condition(each)), None))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the server look after its connections once."""
        self._clock.now_s += seconds
        asyncio.run_coroutine_threadsafe(self._sweep(), self.loop).result(BOUND_S)

    async def _sweep(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._connections.sweep)
            while self._connections.now_s != self._clock.now_s:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


def read_all(client: socket.socket) -> bytes:
    """Read until the other side closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def read_one(client: socket.socket) -> bytes:
    """Read one answer with a length; its head and its body may come in two pieces."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _more(client)
    head, _, body = answer.partition(b"\r\n\r\n")
    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < size:
        body += _more(client)
    return head + b"\r\n\r\n" + body


def _more(client: socket.socket) -> bytes:
    piece = client.recv(65536)
    assert piece, "closed before the end of the answer"
    return piece


def error_of(answer: bytes, status: int) -> dict[str, Any]:
    """The error in an answer, which has to be an OpenAI error with an id, and the last on its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {status} "), lines
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert headers["cache-control"] == "no-store"
    assert len(headers["x-request-id"]) == 32
    assert int(headers["content-length"]) == len(body)
    error: dict[str, Any] = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@contextlib.contextmanager
def sweeping_at_once() -> Iterator[None]:
    """Let the server's sweep begin with a look, where it would wait for a second."""
    usual, gateway.connection_limits.SWEEP_S = gateway.connection_limits.SWEEP_S, 0.0
    try:
        yield
    finally:
        gateway.connection_limits.SWEEP_S = usual


@contextlib.contextmanager
def edge(**limits: Any) -> Iterator[Edge]:
    """The server, for the length of a `with` block."""
    given = {"head_bytes_max": 32 * 1024, "head_s": 10, "read_s": 10, "write_s": 10, "connections_max": 100}
    clock = FakeClock()
    refused: list[tuple[Refusal, str]] = []
    connections = Connections(ClientLimits(**(given | limits)), clock, lambda *each: refused.append(each))
    subject = Edge(App(), connections, clock)
    subject.refused = refused
    server = _server(subject.app, connections)
    with socket.create_server(("127.0.0.1", 0)) as listener, sweeping_at_once():
        subject.port = listener.getsockname()[1]

        async def run() -> None:
            subject.loop = asyncio.get_running_loop()
            await server.serve(sockets=[listener])

        thread = threading.Thread(target=anyio.run, args=(run,), kwargs={"backend_options": {"use_uvloop": True}})
        thread.start()
        try:
            eventually(lambda: server.started)
            yield subject
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
