"""A TCP server on loopback that answers with whatever bytes a test gives it, and remembers what it was asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

CLOSE = b""
"""As an answer: hang up without one."""


class RawServer:
    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.url = ""
        self.port = 0
        self.tasks: set[asyncio.Task[None] | None] = set()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.requests.append(await read_request(reader))
                answer = self.answers.pop(0) if self.answers else CLOSE
                if answer == CLOSE:
                    break
                writer.write(answer)
                await writer.drain()
                if b"content-length" not in answer.lower() or b"connection: close" in answer.lower():
                    break
        writer.close()


def abort(writer: asyncio.StreamWriter) -> None:
    """Close the connection with a reset, whatever state it is in.

    CPython 3.11's transport loses its loop when it is closed with bytes unsent and sends them later; `abort` then
    raises AttributeError.
    """
    with contextlib.suppress(AttributeError):
        writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The head and the body of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0)
    return head + await reader.readexactly(length)


def reply(body: bytes, status: int = 200, *headers: str) -> bytes:
    """A well-formed answer."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.asynccontextmanager
async def raw_server(*answers: bytes) -> AsyncIterator[RawServer]:
    """Serve these answers in order, then hang up."""
    subject = RawServer(list(answers))
    server = await asyncio.start_server(subject.serve, "127.0.0.1", 0)
    subject.port = server.sockets[0].getsockname()[1]
    subject.url = f"http://127.0.0.1:{subject.port}"
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
