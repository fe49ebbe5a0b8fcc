"""One response while its bytes come in. Pure: bytes go in, in any slices, and pieces of the body come out.

httptools checks the framing (RFC 9112): it refuses bare line feeds, folded lines, two lengths, and a length beside
chunks, all of which are ways to make two readers see different messages.
"""

import httptools
import httpx

from gateway.wire.framing import Framing

HEAD_BYTES_MAX = 64 * 1024
"""The largest head, and the most of all else that is no body: chunk extensions, trailers, interim responses."""
HEAD_LINES_MAX = 256


class ResponseReader:
    """Reads one response."""

    __slots__ = (
        "_framing",
        "_head_bytes",
        "_is_framed",
        "_is_interim",
        "_is_reply_to_head",
        "_lives_on",
        "_parser",
        "_pieces",
        "buffered_bytes",
        "has_head",
        "headers",
        "is_complete",
        "is_untouched",
        "status",
    )

    def __init__(self, *, is_reply_to_head: bool) -> None:
        self.is_untouched = True
        """Whether not a single byte has come."""
        self.has_head = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_complete = False
        self.buffered_bytes = 0
        """Of the body: received, and not taken yet."""
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
        """Whether the connection may carry another request: the response is over, and nothing came after it."""
        return self.is_complete and self._lives_on

    @property
    def is_readable(self) -> bool:
        """Whether a piece of the body, or its end, is there."""
        return self.is_complete or self.buffered_bytes > 0

    def feed(self, data: bytes) -> None:
        """Read what came.

        Raises:
            httpx.RemoteProtocolError: It is no HTTP, or its head is too large.
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
                raise httpx.RemoteProtocolError("not an HTTP response") from error
            self._lives_on = False
        except httptools.HttpParserUpgrade as error:
            raise httpx.RemoteProtocolError("an upgrade that nobody asked for") from error
        if self.is_complete:
            # The parser holds this reader, and this reader the parser: without the cycle both are gone at once.
            self._parser = None
        elif self._framing.is_exceeded:
            raise httpx.RemoteProtocolError("too much that is no body")

    def end(self) -> None:
        """Nothing more will come: that is the end of a body without a length, and of no other."""
        if self.has_head and not self._is_framed:
            self.is_complete = True
        self._parser = None

    def take(self) -> bytes:
        """What of the body came since the last time; empty if nothing did."""
        pieces = self._pieces
        if not pieces:
            return b""
        self._pieces = []
        self.buffered_bytes = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self.is_complete:
            self._lives_on = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser, for each line of the head and of the trailers, which are counted and dropped."""
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEAD_BYTES_MAX or len(self.headers) >= HEAD_LINES_MAX:
            raise httpx.RemoteProtocolError("head too large")
        if self.has_head:
            return
        self.headers.append((name, value))
        lowered = name.lower()
        if lowered == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise httpx.RemoteProtocolError("a transfer coding that nobody asked for")
            self._is_framed = True
        elif lowered == b"content-length":
            self._is_framed = True

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        assert self._parser is not None  # noqa: S101 - it is who calls.
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
            # Its framing headers tell of a body that does not come (RFC 9112, 6.3).
            self.is_complete = True

    def on_body(self, piece: bytes) -> None:
        """Called by the parser."""
        if self.is_complete:
            self._lives_on = False
            return
        self._framing.give_body(len(piece))
        self.buffered_bytes += len(piece)
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._is_interim:
            self._is_interim = False
        else:
            self.is_complete = True
