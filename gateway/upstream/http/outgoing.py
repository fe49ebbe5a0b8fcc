"""One request as the bytes that are sent. Pure."""

import math
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import httpx


class Origin(NamedTuple):
    """Where a request goes, and what a connection can be shared by."""

    is_tls: bool
    host: str
    port: int


class Parts(httpx.AsyncByteStream):
    """A body in memory that is sent part by part: to be put together, a large one would need the same room again."""

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        self.parts = tuple(parts)
        self.size = sum(map(len, self.parts))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Httpx's way to read it."""
        for part in self.parts:
            yield bytes(part)


class Outgoing(NamedTuple):
    """A request, ready to be written."""

    method: str
    head: bytes
    parts: tuple[bytes | memoryview, ...]
    """The body."""
    write_s_max: float
    """How long the other side may take nothing of the body."""
    read_s_max: float
    """How long it may send nothing: until the head of the response is there, then from one piece to the next."""
    total_s_max: float = math.inf
    """The longest time of the whole exchange, from the first byte sent to the last one read."""


def origin_of(url: httpx.URL) -> Origin:
    """The origin of a URL, with its scheme's port where it names none.

    Raises:
        httpx.UnsupportedProtocol: It is neither http nor https.
    """
    scheme = url.scheme
    if scheme not in {"http", "https"}:
        raise httpx.UnsupportedProtocol("neither http nor https")
    is_tls = scheme == "https"
    return Origin(is_tls, url.raw_host.decode("ascii"), url.port or (443 if is_tls else 80))


def outgoing_of(request: httpx.Request) -> Outgoing:
    """The bytes of a request whose body is in memory, with the framing headers that it has.

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
        raise httpx.LocalProtocolError("a header with a line break")
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
    """How long a new connection may take: name, TCP and TLS together."""
    return _seconds(request.extensions.get("timeout", {}).get("connect"))


def _seconds(timeout: float | None) -> float:
    return math.inf if timeout is None else timeout
