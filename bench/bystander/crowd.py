"""Those beside: one client that hardly reads, and many connections that do nothing."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio

KEY = "fp-bench-slow"
MODEL = "large"
LARGE_TOKENS = 30_000
"""Some 6 MB of events: more than all buffers on the way hold, and soon told by the emulator."""
READ_BYTES = 4
READ_PAUSE_S = 1.0
RECEIVE_BUFFER_BYTES = 4096
"""The kernel must not read what the client does not."""
HALF_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-le"
FINISHED = b"GET /livez HTTP/1.1\r\nhost: bench\r\n\r\n"
OPENING_MAX = 32
"""At once: a crowd that comes in one tick would be a flood, which is another measure."""


@dataclass(slots=True)
class Crowd:
    """Those that are there."""

    idle: list[socket.socket] = field(default_factory=list)
    read_bytes: int = 0
    """By the slow reader."""

    def closed(self) -> int:
        """How many of the idle connections the gateway has closed by now."""
        return sum(map(_is_closed, self.idle))


@contextlib.asynccontextmanager
async def beside(url: str, connections: int) -> AsyncIterator[Crowd]:
    """The crowd for the length of the block: all connected, and the slow reader at its answer."""
    crowd, room = Crowd(), anyio.Semaphore(OPENING_MAX)

    async def join(number: int) -> None:
        async with room:
            connection = stack.enter_context(await _connected(url))
            await _be_idle(connection, number)
            crowd.idle.append(connection)

    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(await _connected(url))
        crowd.read_bytes = await _ask_for_much(slow)
        async with anyio.create_task_group() as tasks:
            for number in range(connections):
                tasks.start_soon(join, number)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read_slowly, slow, crowd)
            yield crowd
            tasks.cancel_scope.cancel()


async def _connected(url: str) -> socket.socket:
    """A bare socket: streams of any library read ahead."""
    address = urlsplit(url)
    connection = socket.socket()
    try:
        connection.settimeout(0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
    except BaseException:
        connection.close()
        raise
    return connection


async def _be_idle(connection: socket.socket, number: int) -> None:
    """Send nothing, half a head, or a request that is answered."""
    loop = asyncio.get_running_loop()
    if number % 3 == 1:
        await loop.sock_sendall(connection, HALF_HEAD)
    elif number % 3 == 2:
        await loop.sock_sendall(connection, FINISHED)
        await loop.sock_recv(connection, RECEIVE_BUFFER_BYTES)


async def _ask_for_much(connection: socket.socket) -> int:
    """Begin a large stream; return how many of its bytes were read."""
    message = {"role": "user", "content": f"count to {LARGE_TOKENS}"}
    body = json.dumps({"model": MODEL, "stream": True, "messages": [message]})
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, (head + body).encode())
    return len(await loop.sock_recv(connection, READ_BYTES))


async def _read_slowly(connection: socket.socket, crowd: Crowd) -> None:
    while True:
        await anyio.sleep(READ_PAUSE_S)
        crowd.read_bytes += len(await asyncio.get_running_loop().sock_recv(connection, READ_BYTES))


def _is_closed(connection: socket.socket) -> bool:
    try:
        while connection.recv(RECEIVE_BUFFER_BYTES):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
