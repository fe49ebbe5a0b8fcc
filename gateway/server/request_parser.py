"""Parse requests from the bytes of one connection, and limit the size of everything that is not body."""

import asyncio
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.body_rate import BodyPace
from gateway.connection_limits import Connections
from gateway.errors import HeadTooLargeError, InvalidRequestError
from gateway.server.compact_event import CompactEvent
from gateway.server.connection_state import Reading
from gateway.server.early_responses import knows_chunks, malformed
from gateway.wire.framing import Framing
from gateway.wire.request_head import head_problem, head_size

HEADER_LINES_MAX = 128
CHUNKS_MAX_PER_TURN = 256
"""After a piece with more chunks than these, other connections are served before the next piece is parsed."""


class PipelinedError(Exception):
    """Report that a request arrived before the previous one was answered."""


class _NoLines(list[tuple[bytes, bytes]]):
    """Discard trailers, which are not used (RFC 9110, 6.5.1)."""

    def append(self, _line: tuple[bytes, bytes]) -> None:
        """Discard the line."""


class ReadingProtocol(HttpToolsProtocol):
    """Add limits to uvicorn's parsing. Requests on one connection are handled one at a time."""

    # uvicorn has 28 attributes, and Python shares the keys of objects only up to 30: more would cost a kilobyte each.
    __slots__ = (
        "_all",
        "_body_parts",
        "_framing",
        "_head_since_s",
        "_is_fragmented",
        "_limits",
        "_pace",
        "_read_at_s",
        "_reading",
        "_unparsed",
    )

    def __init__(
        self,
        connections: Connections,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = connections
        self._limits = connections.limits
        self._reading = Reading.BETWEEN
        self._body_parts: list[bytes] = []
        """Parts of the body in the piece that is being parsed."""
        self._is_fragmented = False
        """True if the last piece had more chunks than are parsed at once."""
        self._unparsed = b""
        self._framing = Framing(connections.limits.head_bytes_max)
        self._pace = BodyPace(connections.now_s)
        self._head_since_s = self._read_at_s = connections.now_s

    @property
    def _is_discarding(self) -> bool:
        return self._reading is Reading.DISCARD

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Prepare to parse."""
        super().connection_made(transport)
        self.flow._is_writable_event = CompactEvent(is_set=True)  # noqa: SLF001 - to save memory.

    def data_received(self, data: bytes) -> None:
        """Parse received data in pieces of at most `head_bytes_max`, so that no head can exceed twice that."""
        if self._is_discarding:
            return
        self._read_at_s = self._all.now_s
        self._unset_keepalive_if_required()
        if self._unparsed:
            self._unparsed += data
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> bool:
        """Parse data, and return True; False if some of it is left for a later turn of the event loop."""
        size_max = self._limits.head_bytes_max
        if len(data) <= size_max:
            self._feed(data)
            return True
        for end in range(size_max, len(data) + size_max, size_max):
            self._feed(data[end - size_max : end])
            if self._is_discarding:
                return True
            if self._is_fragmented and end < len(data):
                # One read of 256 KiB may hold 40,000 chunks, which take a tenth of a second.
                self._unparsed = data[end:]
                self.transport.pause_reading()
                self.loop.call_soon(self._parse_rest)
                return False
        return True

    def _parse_rest(self) -> None:
        data, self._unparsed = self._unparsed, b""
        if self.transport.is_closing():
            return
        is_done = self._is_discarding or self._parse(data)
        if is_done and not (self.flow.read_paused or self.transport.is_closing()):
            self.transport.resume_reading()

    def _feed(self, data: bytes) -> None:
        self._framing.feed(len(data))
        try:
            self.parser.feed_data(data)
            self._give_body()
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            self._forget_head()
            self._refuse(error.__context__ or error)
        except httptools.HttpParserError:
            self._forget_head()
            self._refuse(malformed())
        else:
            is_head_long = self._reading is Reading.HEAD and len(self.headers) > HEADER_LINES_MAX
            if is_head_long or self._framing.is_exceeded:
                self._forget_head()
                self._refuse(HeadTooLargeError(self._limits.head_bytes_max))

    def _forget_head(self) -> None:
        """Free an incomplete head: 32 KiB of short lines are 0.8 MB here, as long as the connection lingers."""
        if self._reading is Reading.HEAD:
            self.headers.clear()

    def on_message_begin(self) -> None:
        """Record that a request begins; reject it if the previous one is not answered yet (RFC 9112, 9.3.2)."""
        if self.cycle is not None:
            if not self.cycle.response_complete:
                raise PipelinedError
            self._head_since_s = self._all.now_s
        self._reading = Reading.HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Check the complete head against its limits, and start the application."""
        head_bytes_max = self._limits.head_bytes_max
        if head_size(self.url, self.headers) > head_bytes_max or len(self.headers) > HEADER_LINES_MAX:
            raise HeadTooLargeError(head_bytes_max)
        version = self.parser.get_http_version()
        if problem := head_problem(version, self.headers):
            raise InvalidRequestError(problem, code="invalid_http")
        self._check_room()
        if self.parser.should_upgrade():
            return
        if not knows_chunks(version):
            # An HTTP/1.0 client does not wait for a 100 response (RFC 9110, 10.1.1).
            self.expect_100_continue = False
        super().on_headers_complete()
        # Before its task runs.
        self.cycle.message_event = CompactEvent()
        self._reading = Reading.BODY
        # The application has the headers; trailers are appended to this list.
        self.headers = _NoLines()
        self._pace.begin(self._all.now_s, 0)

    def on_body(self, body: bytes) -> None:
        """Collect a part of the body."""
        self._body_parts.append(body)

    def _give_body(self) -> None:
        """Pass on the collected parts at once: appended one by one, each would copy what is there already."""
        parts = self._body_parts
        self._is_fragmented = len(parts) > CHUNKS_MAX_PER_TURN
        if parts:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            self._framing.give_body(len(body))
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Record that the request is complete."""
        if self.parser.should_upgrade():
            return
        self._give_body()
        self._reading = Reading.BETWEEN
        self._framing.end()
        super().on_message_complete()
        # Reading continues, because a disconnect is only noticed while the connection is read.
        self.flow.resume_reading()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its `Upgrade`, which a server may ignore (RFC 9110, 7.8).

        Java's HTTP client asks for HTTP/2 with every request, and the parser reads no body of a request with `Upgrade`.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(malformed())
            return
        lines = [b"%s: %s\r\n" % each for each in self.headers if each[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        head = b"".join([method, b" ", self.url, b" HTTP/", version, b"\r\n", *lines, b"\r\n"])
        self.parser = httptools.HttpRequestParser(self)
        self._framing.end()
        self._feed(head + rest)

    def _check_room(self) -> None:
        """Check that the request's connection is within the limit.

        Raises:
            TooManyConnectionsError: There are too many connections.
        """
        raise NotImplementedError

    def _refuse(self, error: BaseException) -> None:
        """Answer a rejected request, and close the connection."""
        raise NotImplementedError
