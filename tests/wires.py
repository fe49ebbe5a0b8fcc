"""A gateway from the bytes of its clients to the bytes of Runpod, with everything that `serve` runs except sockets."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import anyio
import structlog
import uvicorn
from uvicorn.server import ServerState

from gateway.app import Gateway
from gateway.config.loader import parse_config
from gateway.connection_limits import ClientLimits, Connections
from gateway.observability.logs import configure_logs
from gateway.server.protocol import BoundedProtocol
from gateway.upstream.http.connection import Connection
from gateway.upstream.http.outgoing import Origin
from gateway.upstream.http.transport import HttpTransport
from tests.stacks import KEY, config_of
from tests.virtual_time import LoopClock

LIMITS = ClientLimits(head_bytes_max=32_768, head_s=60, read_s=60, write_s=60, connections_max=10_000)
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
Answer = Callable[[bytes], Iterable[bytes]]
"""What Runpod answers to the bytes of a request: the pieces that arrive one by one."""


class Wire(asyncio.Transport):
    """One end of a connection; what is written to it is passed to `on_write`."""

    def __init__(self, on_write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._on_write = on_write
        self._is_closing = False

    def write(self, data: Any) -> None:
        self._on_write(bytes(data))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class OpenSocket:
    """A socket on which nothing has arrived."""

    def recv(self, *_: object) -> bytes:
        raise BlockingIOError


class WiredTransport(HttpTransport):
    """Opens connections to a Runpod that answers in the next turns of the loop."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    async def connect(self, origin: Origin, wait_s_max: float) -> Connection:  # noqa: ARG002 - it is open at once.
        connection = Connection(
            origin,
            OpenSocket(),  # type: ignore[arg-type]
            on_free=self._pool.put_back,
            on_lost=self._pool.forget,
            on_first_head=lambda _: None,
        )
        connection.connection_made(Wire(lambda data: self._reply(connection, data)))
        self._pool.add(connection)
        return connection

    def _reply(self, connection: Connection, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        pieces = iter(self._answer(request))

        def next_piece() -> None:
            piece = next(pieces, None)
            if piece is not None:
                connection.data_received(piece)
                loop.call_soon(next_piece)

        loop.call_soon(next_piece)


class Client:
    """A client's connection, kept for one request after the other."""

    def __init__(self, gateway: "WiredGateway", path: str) -> None:
        self.path = path
        self.received = bytearray()
        self._ended = asyncio.Event()
        self.protocol = BoundedProtocol(gateway.connections, gateway.config, gateway.server_state, {})
        self.protocol.connection_made(Wire(self._receive))

    def _receive(self, data: bytes) -> None:
        self.received += data
        # The last chunk, or a whole body with its length: the answers of these tests are never that long.
        if data.endswith(b"0\r\n\r\n") or b"content-length: " in self.received:
            self._ended.set()

    def send(self, *, stream: bool, key: str = KEY, **asked: Any) -> None:
        prompt = {"input" if self.path == RESPONSES else "messages": [{"role": "user", "content": "Hi"}]}
        body = {"model": "m", **prompt, "stream": stream, **asked}
        text = json.dumps(body).encode()
        head = (
            f"host: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {len(text)}"
        )
        self.protocol.data_received(f"POST {self.path} HTTP/1.1\r\n{head}\r\n\r\n".encode() + text)

    async def ask(self, *, stream: bool, key: str = KEY) -> bytes:
        """Send a request, and return the whole response."""
        self.received.clear()
        self._ended.clear()
        self.send(stream=stream, key=key)
        await self.ended()
        return bytes(self.received)

    async def ended(self) -> None:
        """Wait for the end of the response."""
        await self._ended.wait()


class WiredGateway:
    """A gateway, its server protocol and its Runpod."""

    def __init__(self, answer: Answer, **options: Any) -> None:
        config = parse_config(config_of("http://runpod.test", **options), {})
        self.transport = WiredTransport(answer)
        self.gateway = Gateway(config, transport=self.transport, clock=LoopClock())
        self.config = uvicorn.Config(self.gateway.app, http="httptools", ws="none", lifespan="off", log_config=None)  # type: ignore[arg-type]
        self.config.load()
        self.server_state = ServerState()
        self.connections = Connections(LIMITS, LoopClock())

    def client(self, path: str = CHAT) -> Client:
        return Client(self, path)


@contextlib.asynccontextmanager
async def wired(answer: Answer, **options: Any) -> AsyncIterator[WiredGateway]:
    """The gateway with its background tasks, and with the log that `serve` writes."""
    configure_logs("json", sys.stderr)
    try:
        subject = WiredGateway(answer, **options)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.gateway.background)
            await anyio.wait_all_tasks_blocked()
            yield subject
            tasks.cancel_scope.cancel()
    finally:
        structlog.reset_defaults()
