"""Parse requests from the bytes of one connection, and limit the size of everything that is not body."""

import asyncio
from enum import Enum, auto
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.client_pace import BodyPace
from gateway.connections import Connections
from gateway.errors import HeadTooLargeError, InvalidRequestError
from gateway.http_answer import knows_chunks, malformed
from gateway.wire.framing import Framing
from gateway.wire.request_head import head_problem, head_size

HEADER_LINES_MAX = 128


class Reading(Enum):
    """Name what the next bytes of a connection are."""

    BETWEEN = auto()
    """The beginning of a request: none has begun, or the last one is complete."""
    HEAD = auto()
    """More of a request's head."""
    BODY = auto()
    """More of its body or trailers."""
    DISCARD = auto()
    """Nothing that is parsed: no other request is answered on this connection."""

    @property
    def is_in_message(self) -> bool:
        """Return True while a request is incomplete."""
        return self is Reading.HEAD or self is Reading.BODY


class PipelinedError(Exception):
    """Report that a request arrived before the previous one was answered."""


class _NoLines(list[tuple[bytes, bytes]]):
    """Discard trailers, which are not used (RFC 9110, 6.5.1)."""

    def append(self, _line: tuple[bytes, bytes]) -> None:
        """Discard the line."""


class ReadingProtocol(HttpToolsProtocol):
    """Add limits to uvicorn's parsing. Requests on one connection are handled one at a time."""

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
        self._framing = Framing(connections.limits.head_bytes_max)
        self._pace = BodyPace(connections.now_s)
        self._head_since_s = self._read_at_s = connections.now_s

    @property
    def _is_discarding(self) -> bool:
        return self._reading is Reading.DISCARD

    def data_received(self, data: bytes) -> None:
        """Parse received data in pieces of at most `head_bytes_max`, so that no head can exceed twice that."""
        if self._is_discarding:
            return
        self._read_at_s = self._all.now_s
        self._unset_keepalive_if_required()
        size_max = self._limits.head_bytes_max
        if len(data) <= size_max:
            self._feed(data)
            return
        for start in range(0, len(data), size_max):
            if not self._is_discarding:
                self._feed(data[start : start + size_max])

    def _feed(self, data: bytes) -> None:
        self._framing.feed(len(data))
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            self._refuse(error.__context__ or error)
        except httptools.HttpParserError:
            self._refuse(malformed())
        else:
            if self._framing.is_exceeded:
                self._refuse(HeadTooLargeError(self._limits.head_bytes_max))

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
        self._reading = Reading.BODY
        # The application has the headers; trailers are appended to this list.
        self.headers = _NoLines()
        self._pace.begin(self._all.now_s, 0)

    def on_body(self, body: bytes) -> None:
        """Count a piece of the body, and pass it to the application."""
        self._framing.give_body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Record that the request is complete."""
        if self.parser.should_upgrade():
            return
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
