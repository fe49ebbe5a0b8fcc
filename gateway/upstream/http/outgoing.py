"""Serialize one request to the bytes that are sent. Pure."""

import math
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import httpx


class Origin(NamedTuple):
    """Represent the origin of a request: requests of one origin can share a connection."""

    is_tls: bool
    host: str
    port: int


class Parts(httpx.AsyncByteStream):
    """Hold a body in memory that is sent part by part: joining a large one would need its memory twice."""

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        self.parts = tuple(parts)
        self.size = sum(map(len, self.parts))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the parts, for readers in httpx."""
        for part in self.parts:
            yield bytes(part)


class Outgoing(NamedTuple):
    """Represent a request that is ready to be written."""

    method: str
    head: bytes
    parts: tuple[bytes | memoryview, ...]
    """Parts of the body."""
    write_s_max: float
    """Maximum seconds for which the other side may accept nothing of the body."""
    read_s_max: float
    """Maximum seconds without data: until the head of the response is complete, then between two pieces."""
    total_s_max: float = math.inf
    """Maximum seconds of the whole exchange, from the first byte sent to the last one read."""


def origin_of(url: httpx.URL) -> Origin:
    """Return the origin of a URL, with the default port of its scheme if it has none.

    Raises:
        httpx.UnsupportedProtocol: The scheme is neither http nor https.
    """
    scheme = url.scheme
    if scheme not in {"http", "https"}:
        raise httpx.UnsupportedProtocol("the URL scheme must be http or https")
    is_tls = scheme == "https"
    return Origin(is_tls, url.raw_host.decode("ascii"), url.port or (443 if is_tls else 80))


def outgoing_of(request: httpx.Request) -> Outgoing:
    """Return the bytes of a request whose body is in memory, with the framing headers that it has.

    Raises:
        httpx.RequestNotRead: The body is a stream.
        httpx.LocalProtocolError: A header or the path would break out of its line (RFC 9112, 2.2 and 11.1).
    """
    raw = request.headers.raw
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % line for line in raw]
    head = b"\r\n".join(lines)
    breaks = len(raw)
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise httpx.LocalProtocolError("a header or the path contains a line break")
    timeout = request.extensions.get("timeout", {})
    return Outgoing(
        method=request.method,
        head=head + b"\r\n\r\n",
        parts=request.stream.parts if isinstance(request.stream, Parts) else (request.content,),
        write_s_max=_seconds(timeout.get("write")),
        read_s_max=_seconds(timeout.get("read")),
        total_s_max=_seconds(timeout.get("total")),
    )


def connect_s_max(request: httpx.Request) -> float:
    """Return the maximum seconds to open a connection: name lookup, TCP and TLS together."""
    return _seconds(request.extensions.get("timeout", {}).get("connect"))


def _seconds(timeout: float | None) -> float:
    return math.inf if timeout is None else timeout
