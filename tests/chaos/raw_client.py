"""A client of little weight: one connection, one request, every byte kept."""

import asyncio
import contextlib
import json
from urllib.parse import urlsplit

from tests.chaos.questions import TENANT_KEYS, Question
from tests.chaos.verdicts import Ending, Reply, Verdict, judge

LEAVES_AFTER_S = 1.5


async def ask_raw(base_url: str, question: Question, *, are_characters_cut: bool = False) -> Verdict:
    """Ask, and judge what came.

    Raises:
        DishonestError: It is neither the answer nor an error.
    """
    address = urlsplit(base_url)
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(_request(question))
        if question.leaves_after_bytes is not None:
            await _read_some(reader, question.leaves_after_bytes)
            return Verdict(question=question, ending=Ending.LEFT)
        reply = await _read(reader)
    except OSError:
        reply = Reply()
    finally:
        if writer is not None:
            writer.transport.abort()
    return judge(question, reply, are_characters_cut=are_characters_cut)


def _request(question: Question) -> bytes:
    body = json.dumps(question.body()).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: gateway",
        f"authorization: Bearer {TENANT_KEYS[question.tenant]}",
        f"content-length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


async def _read_some(reader: asyncio.StreamReader, count: int) -> None:
    """So many bytes, or as many as come in the time that such a client has."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEAVES_AFTER_S):
            while count > 0 and (piece := await reader.read(4096)):
                count -= len(piece)


async def _read(reader: asyncio.StreamReader) -> Reply:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, OSError):
        return Reply()
    status = int(head.split(" ", 2)[1])
    lines = head.lower().split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), None)
    body = bytearray()
    try:
        if length is not None:
            body += await reader.readexactly(length)
        else:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
    except asyncio.IncompleteReadError:
        return Reply(status=status, head=head, body=bytes(body))
    except OSError:
        return Reply(status=status, head=head, body=bytes(body))
    return Reply(status=status, head=head, body=bytes(body), is_complete=True)
