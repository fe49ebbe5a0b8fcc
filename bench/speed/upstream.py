"""A cheap upstream: OpenAI's chat route, Runpod's /openai route and a minimal job API, in a process of its own.

`python -m bench.speed.upstream PORT`. It checks nothing, limits nothing and hands out exactly the pages that are asked
for, so that one core of it feeds any gateway, the load beside it.
"""

import asyncio
import itertools
import re
import sys
import time
from dataclasses import dataclass
from typing import cast

import httptools
import uvloop
from msgspec.json import encode

from bench.speed.sizes import Asked, read_asked

_IS_STREAM = re.compile(rb'"stream"\s*:\s*true')
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_CHUNK = (
    '{"id":"chatcmpl-5f0c","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,'
    '"delta":{%s"content":"@%.6f; word"},"logprobs":null,"finish_reason":%s}]}'
)
_WHOLE = (
    b'{"id":"chatcmpl-5f0c","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"%b"},"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":10,"total_tokens":20}}'
)
_HEALTH = b'{"jobs":{"inQueue":0,"inProgress":0},"workers":{"idle":1,"running":0}}'


def chunk_text(number: int, asked: Asked) -> str:
    """One chunk as JSON, stamped with the time at which it is written."""
    role = '"role":"assistant",' if number == 0 else ""
    finish = '"stop"' if number == asked.chunks - 1 else "null"
    return _CHUNK % (role, time.monotonic(), finish)


@dataclass(slots=True)
class Job:
    """A job that nobody works on: its outputs are there when they are asked for."""

    asked: Asked
    sent: int = 0

    def page(self) -> bytes:
        """The next outputs; the last page says that the job is done."""
        last = min(self.sent + self.asked.page, self.asked.chunks)
        events = [f"data: {chunk_text(number, self.asked)}\n\n" for number in range(self.sent, last)]
        if last == self.asked.chunks and self.sent < last:
            events.append("data: [DONE]\n\n")
        self.sent = last
        state = "COMPLETED" if last == self.asked.chunks else "IN_PROGRESS"
        return encode({"status": state, "stream": [{"output": event} for event in events]})


class Jobs:
    """The jobs of all endpoints."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count()

    def answer(self, operation: str, rest: str, body: bytes) -> bytes:
        """One call of the job API. A job is forgotten with its status, which is the last that anybody asks for."""
        if operation == "run":
            job_id = f"job-{next(self._numbers)}"
            self._jobs[job_id] = Job(read_asked(body))
            return b'{"id":"%b","status":"IN_QUEUE"}' % job_id.encode()
        if operation == "stream":
            job = self._jobs.get(rest)
            return b'{"status":"COMPLETED","stream":[]}' if job is None else job.page()
        if operation == "health":
            return _HEALTH
        self._jobs.pop(rest, None)
        return b'{"id":"%b","status":"COMPLETED","delayTime":1,"executionTime":10}' % rest.encode()


class Connection(asyncio.Protocol):
    """One connection of a gateway."""

    def __init__(self, jobs: Jobs, loop: asyncio.AbstractEventLoop) -> None:
        self._jobs = jobs
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._path = b""
        self._body = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody calls."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """They are gone: nothing is sent any more."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._path = b""
        self._body.clear()

    def on_url(self, url: bytes) -> None:
        """Its path, in parts."""
        self._path += url

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Who asks first whether the body may come is told so."""
        if name.lower() == b"expect":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """Its body, in parts."""
        self._body += part

    def on_message_complete(self) -> None:
        """It is here: answer."""
        body, path = bytes(self._body), self._path.decode().partition("?")[0]
        if not path.endswith("/completions"):
            operation, _, rest = path.removeprefix("/v2/").partition("/")[2].partition("/")
            self._whole(self._jobs.answer(operation, rest, body))
            return
        asked = read_asked(body)
        if _IS_STREAM.search(body[:4096]) or _IS_STREAM.search(body[-4096:]):
            self._write(_STREAM_HEAD)
            self._chunk(0, asked, self._loop.time())
        else:
            self._whole(_WHOLE % (b"x" * asked.answer_bytes))

    def _chunk(self, number: int, asked: Asked, begun_s: float) -> None:
        """Send what is due; a stream that fell behind its time catches up."""
        while number < asked.chunks:
            if (due_s := begun_s + number * asked.interval_s) > self._loop.time():
                self._timer = self._loop.call_at(due_s, self._chunk, number, asked, begun_s)
                return
            event = f"data: {chunk_text(number, asked)}\n\n".encode()
            self._write(b"%x\r\n%b\r\n" % (len(event), event))
            number += 1
        self._timer = None
        self._write(_END)

    def _whole(self, body: bytes) -> None:
        self._write(_HEAD % len(body) + body)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop, jobs = asyncio.get_running_loop(), Jobs()
    server = await loop.create_server(lambda: Connection(jobs, loop), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
