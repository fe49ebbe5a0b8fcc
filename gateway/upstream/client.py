"""Implement one HTTP client for all calls to Runpod, based on httpx's transport interface.

Transports are called directly with a prepared request: httpx's own client adds cookies, redirects and environment
proxies that a gateway must not have, and takes most of the CPU time of a request.
"""

import math
import re
from collections.abc import AsyncGenerator, AsyncIterator
from functools import lru_cache
from typing import NamedTuple, cast

import anyio
import httpx
import msgspec

from gateway import __version__
from gateway.clock import SystemClock
from gateway.domain import Endpoint, Secret
from gateway.errors import UnreachableError
from gateway.fairshare.memory_shares import MemoryShares
from gateway.upstream.content_decoding import decoded
from gateway.upstream.failures import read_date, read_retry_after, unreachable
from gateway.upstream.http.body import Body
from gateway.upstream.http.connection import Connection
from gateway.upstream.http.listener import Listener
from gateway.upstream.http.outgoing import Outgoing, Parts, origin_of
from gateway.upstream.http.response import ResponseReader
from gateway.upstream.http.transport import HttpTransport
from gateway.upstream.reply import REPLY_BYTES_MAX, Hold, Reply, ReplyReader
from gateway.upstream.request import UpstreamRequest

CONNECT_TIMEOUT_S = 10.0
CLOSE_S_MAX = 2.0
_TARGET = re.compile(r"[!-~]*")
"""Pattern of a path with its query: anything else could end the request line."""
URLS_KEPT = 2048
"""Number of cached URLs: the fixed ones, and those of the jobs in flight, each of which is polled repeatedly."""


def make_transport() -> httpx.AsyncBaseTransport:
    """Build the project's transport. It does not limit the number of connections: the gates do."""
    return HttpTransport()


class OpenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Represent an answer whose body is still being received."""

    status: int
    retry_after_s: float | None
    pieces: AsyncIterator[bytes]


class ResponseHead(NamedTuple):
    """Hold what matters of the head of a response."""

    status: int
    retry_after_s: float | None
    encoding: str | None
    """Content-Encoding of the body, with which `decoded` reads it; None if it is not encoded."""


class EndpointClient:
    """Call one endpoint, with its key. Only the body and the trace context of a client's request are sent."""

    def __init__(
        self, endpoint: Endpoint, transport: httpx.AsyncBaseTransport, answers: MemoryShares | None = None
    ) -> None:
        """Create the client; `answers` is the memory for all answers that are read and not passed on yet."""
        self.answers = answers or MemoryShares(4 * REPLY_BYTES_MAX)
        base_url = f"{endpoint.base_url.rstrip('/')}/{endpoint.id}"
        self._transport = transport
        # Parsed once: httpx spends most of the time of a request on parsing these two.
        self._url = lru_cache(URLS_KEPT)(lambda path: httpx.URL(base_url + path))
        url = httpx.URL(base_url)
        self._host = url.netloc.decode("ascii")
        self._origin = origin_of(url)
        self._target = url.raw_path
        self.use_key(endpoint.api_key)

    def use_key(self, api_key: Secret) -> None:
        """Use another key of the same account for all further calls."""
        self._headers = _headers(self._host, api_key)
        self._header_lines = b"".join(b"%b: %b\r\n" % line for line in self._headers.raw)
        if self._header_lines.count(b"\n") != len(self._headers.raw):
            raise httpx.LocalProtocolError("a header contains a line break")

    async def call(self, request: UpstreamRequest, hold: Hold = lambda _size: None) -> Reply:
        """Make a call and read its whole reply; `hold` as for `ReplyReader`.

        Raises:
            UnreachableError: There was no reply in time, it broke off, it cannot be read, or, with the reason
                TOO_LARGE, it has more than REPLY_BYTES_MAX bytes.
        """
        reply = ReplyReader(hold)
        try:
            async with self.send(request) as answer:
                reply.head(answer.status, answer.retry_after_s)
                async for piece in answer.pieces:
                    if reply.feed(piece):
                        break
        except UnreachableError as error:
            reply.failed(error)
        return reply.end()

    @property
    def has_callbacks(self) -> bool:
        """Return True if the transport can tell a response to a listener, so that `open` and `connect` can be used."""
        return isinstance(self._transport, HttpTransport)

    def open(self, request: UpstreamRequest, listener: Listener) -> Connection | None:
        """Send a request on a free connection, and tell the listener its response; None if no connection is free.

        Only for methods that are not idempotent: a request is not repeated if the free connection turns out to be lost.
        """
        assert isinstance(self._transport, HttpTransport)  # noqa: S101 - see `has_callbacks`.
        connection = self._transport.free_connection(self._origin)
        if connection is not None:
            connection.send(self._outgoing(request), listener)
        return connection

    async def connect(self, request: UpstreamRequest, listener: Listener) -> Connection:
        """Send a request on a new connection, and tell the listener its response.

        Raises:
            UnreachableError: No connection could be opened: the request was not sent.
        """
        assert isinstance(self._transport, HttpTransport)  # noqa: S101 - see `has_callbacks`.
        try:
            connection = await self._transport.connect(self._origin, CONNECT_TIMEOUT_S)
        except httpx.TransportError as error:
            raise unreachable(error) from error
        connection.send(self._outgoing(request), listener)
        return connection

    def _outgoing(self, request: UpstreamRequest) -> Outgoing:
        """Return the bytes of a request, without httpx's objects, which take most of the time of a call."""
        method, size = request.method, sum(map(len, request.body))
        if not _TARGET.fullmatch(request.path):
            raise httpx.LocalProtocolError("the path is not valid")
        head = b"%b %b%b HTTP/1.1\r\n%b" % (method.encode(), self._target, request.path.encode(), self._header_lines)
        if size or method != "GET":
            head += b"content-length: %d\r\n" % size
        if request.traceparent is not None:
            head += b"traceparent: %b\r\n" % request.traceparent.encode()
        timeout_s, total_s = request.read_timeout_s, request.total_s_max
        return Outgoing(
            method=method,
            head=head + b"\r\n",
            parts=tuple(request.body),
            write_s_max=timeout_s,
            read_s_max=timeout_s,
            total_s_max=math.inf if total_s is None else total_s,
        )

    def send(self, request: UpstreamRequest) -> "Opened":
        """Send a request, and hold its answer open; leaving the context closes it, also when cancelled.

        Raises:
            UnreachableError: There was no answer, or, also out of the body of the `async with`, it broke off.
        """
        timeout = {
            "connect": CONNECT_TIMEOUT_S,
            "read": request.read_timeout_s,
            "write": request.read_timeout_s,
            "total": request.total_s_max,
        }
        stream, headers = Parts(request.body), self._headers.copy()
        if stream.size or request.method != "GET":
            headers["content-length"] = str(stream.size)
        if request.traceparent is not None:
            headers["traceparent"] = request.traceparent
        made = httpx.Request(
            request.method, self._url(request.path), headers=headers, stream=stream, extensions={"timeout": timeout}
        )
        return Opened(self._transport, made)


class Opened:
    """Hold one call open for an `async with`.

    A class rather than `@asynccontextmanager`: this is on the hot path of every call. The answer's stream is read and
    closed directly: httpx's own reading marks a response as closed before it is, so that a cancellation at that moment
    leaves the connection open.
    """

    __slots__ = ("_pieces", "_request", "_stream", "_transport")

    def __init__(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
        self._transport = transport
        self._request = request
        self._stream: httpx.AsyncByteStream
        self._pieces: AsyncIterator[bytes]

    async def __aenter__(self) -> OpenAnswer:
        try:
            response = await self._transport.handle_async_request(self._request)
        except httpx.TransportError as error:
            raise unreachable(error) from error
        self._stream = cast("httpx.AsyncByteStream", response.stream)
        self._pieces = aiter(self._stream)
        status, headers, pieces = response.status_code, response.headers, self._pieces
        if (encoding := headers.get("content-encoding")) is not None:
            pieces = decoded(pieces, encoding, status=status)
        # Only a rejection carries one, and reading headers costs time.
        retry_after_s = None if status == 200 else _retry_after_s(headers)
        return OpenAnswer(status=status, retry_after_s=retry_after_s, pieces=pieces)

    async def __aexit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        stream = self._stream
        if isinstance(stream, Body):
            stream.close()
        else:
            with anyio.move_on_after(CLOSE_S_MAX, shield=True):
                if isinstance(self._pieces, AsyncGenerator):
                    await self._pieces.aclose()
                await stream.aclose()
        if isinstance(error, httpx.TransportError):
            raise unreachable(error) from error


def read_head(reader: ResponseReader) -> ResponseHead:
    """Return what matters of a head that was told to a listener."""
    encodings = [value for name, value in reader.headers if name.lower() == b"content-encoding"]
    retry_after_s = None if reader.status == 200 else _retry_after_s(httpx.Headers(reader.headers))
    encoding = b", ".join(encodings).decode("latin-1") if encodings else None
    return ResponseHead(status=reader.status, retry_after_s=retry_after_s, encoding=encoding)


def decoded_rest(
    connection: Connection, listener: Listener, *, encoding: str, status: int
) -> tuple[Body, AsyncIterator[bytes]]:
    """Replace the listener of a response whose head it was told; return the new one, and the pieces for a task.

    The pieces raise UnreachableError if the response breaks off, or cannot be decoded.
    """
    body = Body(connection)
    connection.replace(listener, body)
    return body, _checked(decoded(body, encoding, status=status))


async def _checked(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield piece
    except httpx.TransportError as error:
        raise unreachable(error) from error


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """Parse the header; a date is compared with the answer's own date, as the two clocks may differ."""
    sent_at_s = read_date(headers.get("date")) or SystemClock().unix_s()
    return read_retry_after(headers.get("retry-after"), now_unix_s=sent_at_s)


def _headers(host: str, api_key: Secret) -> httpx.Headers:
    return httpx.Headers(
        {
            "host": host,
            "authorization": f"Bearer {api_key.reveal()}",
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"fairpod/{__version__}",
        }
    )
