"""A server on loopback whose every connection is one coroutine of the test, over TCP or TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.fakes.raw_server import abort, read_request

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    def __init__(self, handle: Handle) -> None:
        self.url = ""
        self.port = 0
        self.connections = 0
        self.open = 0
        self._handle = handle
        self.tasks: set[asyncio.Task[None] | None] = set()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        self.writers.append(writer)
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._handle(reader, writer)
        finally:
            self.open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def serving(
    handle: Handle, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    subject = Server(handle)
    server = await asyncio.start_server(subject.serve, host, 0, ssl=tls, backlog=1024)
    subject.port = server.sockets[0].getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    subject.url = f"{'https' if tls else 'http'}://{name}:{subject.port}"
    try:
        yield subject
    finally:
        server.close()
        tasks = [task for task in subject.tasks if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in subject.writers:
            abort(writer)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def answering(*answers: bytes, log: list[bytes] | None = None) -> Handle:
    """Each connection answers its requests in turn with these bytes, then hangs up; requests go into the log."""
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            request = await read_request(reader)
            if log is not None:
                log.append(request)
            if not left:
                return
            answer = left.pop(0)
            writer.write(answer)
            await writer.drain()
            # To whom no length is told, the end of the connection is the end.
            if b"content-length" not in answer.lower() and b"chunked" not in answer.lower():
                return

    return handle
