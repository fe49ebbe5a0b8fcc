"""Parse one response while its bytes arrive. Pure: bytes in any slices go in, and pieces of the body come out.

httptools checks the framing (RFC 9112): it rejects bare line feeds, folded lines, two lengths, and a length together
with chunks, all of which can make two parsers see different messages.
"""

import httptools
import httpx

from gateway.wire.framing import Framing

HEAD_BYTES_MAX = 64 * 1024
"""Maximum size of the head, and of all other bytes that are not the body: chunk extensions, trailers, interim
responses."""
HEAD_LINES_MAX = 256


class ResponseReader:
    """Parse one response."""

    __slots__ = (
        "_framing",
        "_head_bytes",
        "_is_framed",
        "_is_interim",
        "_is_reply_to_head",
        "_lives_on",
        "_parser",
        "_pieces",
        "has_head",
        "headers",
        "is_complete",
        "is_untouched",
        "status",
    )

    def __init__(self, *, is_reply_to_head: bool) -> None:
        self.is_untouched = True
        """True while no byte has arrived."""
        self.has_head = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_complete = False
        self._pieces: list[bytes] = []
        self._is_reply_to_head = is_reply_to_head
        self._is_interim = False
        self._is_framed = False
        self._lives_on = False
        self._head_bytes = 0
        self._framing = Framing(HEAD_BYTES_MAX)
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    @property
    def is_reusable(self) -> bool:
        """Return True if the connection may carry another request: nothing followed the response."""
        return self.is_complete and self._lives_on

    def feed(self, data: bytes) -> None:
        """Parse received data.

        Raises:
            httpx.RemoteProtocolError: It is not HTTP, or its head is too large.
        """
        parser = self._parser
        if parser is None:
            self._lives_on = False
            return
        self.is_untouched = False
        self._framing.feed(len(data))
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.is_complete:
                raise httpx.RemoteProtocolError("the response is not valid HTTP") from error
            self._lives_on = False
        except httptools.HttpParserUpgrade as error:
            raise httpx.RemoteProtocolError("unrequested protocol upgrade") from error
        if self.is_complete:
            # Break the reference cycle of parser and reader, so that both are freed at once.
            self._parser = None
        elif self._framing.is_exceeded:
            raise httpx.RemoteProtocolError("too much data outside of the body")

    def end(self) -> None:
        """Record the end of the data, which completes a body without a length, and no other one."""
        if self.has_head and not self._is_framed:
            self.is_complete = True
        self._parser = None

    def close(self) -> None:
        """Parse nothing more, and break the reference cycle of parser and reader."""
        self._parser = None

    def take(self) -> bytes:
        """Return the part of the body received since the last call; empty if there is none."""
        pieces = self._pieces
        if not pieces:
            return b""
        self._pieces = []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def on_message_begin(self) -> None:
        """Detect a second message after the response. Called by the parser."""
        if self.is_complete:
            self._lives_on = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header. Called by the parser for each line of the head and the trailers.

        Trailers are counted and dropped.
        """
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEAD_BYTES_MAX or len(self.headers) >= HEAD_LINES_MAX:
            raise httpx.RemoteProtocolError("response headers too large")
        if self.has_head:
            return
        self.headers.append((name, value))
        lowered = name.lower()
        if lowered == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise httpx.RemoteProtocolError("unrequested transfer coding")
            self._is_framed = True
        elif lowered == b"content-length":
            self._is_framed = True

    def on_headers_complete(self) -> None:
        """Store the status, or skip an interim response. Called by the parser."""
        assert self._parser is not None  # noqa: S101 - the parser is the caller.
        status = self._parser.get_status_code()
        if self.is_complete:
            return
        if status < 200:
            self._is_interim = True
            self._is_framed = False
            self.headers = []
            return
        self.status = status
        self.has_head = True
        self._lives_on = self._parser.should_keep_alive()
        if self._is_reply_to_head:
            # Its framing headers describe a body that is not sent (RFC 9112, 6.3).
            self.is_complete = True

    def on_body(self, piece: bytes) -> None:
        """Store a piece of the body. Called by the parser."""
        if self.is_complete:
            self._lives_on = False
            return
        self._framing.give_body(len(piece))
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Mark the response as complete, unless it is interim. Called by the parser."""
        if self._is_interim:
            self._is_interim = False
        else:
            self.is_complete = True
