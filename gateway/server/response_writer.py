"""Write a response without ASGI's messages, by the same rules as uvicorn does for them."""

from collections.abc import Callable, Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


class ResponseWriter:
    """Write the response of one request to its connection: `api.client_connection.ClientConnection`."""

    __slots__ = ("_cycle", "_has_chunks", "_head", "on_ready")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        """Create it for a request of HTTP/1.1 that is not HEAD."""
        self._cycle = cycle
        self._has_chunks = True
        self._head = b""
        """Head that is written together with the data after it: two writes would be two system calls."""
        self.on_ready: Callable[[], None] | None = None

    @property
    def is_slow(self) -> bool:
        """Return True if the write buffer is full."""
        return self._cycle.flow.write_paused and not self._cycle.disconnected

    def ready(self) -> None:
        """Report that the write buffer is no longer full, or that the client has disconnected."""
        if self.on_ready is not None:
            self.on_ready()

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep the head of a response with status 200, which is written with the first data."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        lines = [*cycle.default_headers, *headers]
        self._has_chunks = all(name != b"content-length" for name, _ in lines)
        if not cycle.keep_alive:
            lines.append((b"connection", b"close"))
        if self._has_chunks:
            lines.append((b"transfer-encoding", b"chunked"))
        head = b"".join([b"%b: %b\r\n" % line for line in lines])
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
            raise ValueError("A header of the response contains a line break.")
        self._head = b"%b%b\r\n" % (STATUS_LINE[200], head)

    def write(self, data: bytes) -> bool:
        """Write a part of the body, which is not empty; return False if the write buffer is full now."""
        cycle = self._cycle
        if cycle.disconnected:
            return True
        if self._has_chunks:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._head:
            data, self._head = self._head + data, b""
        cycle.transport.write(data)
        return not cycle.flow.write_paused

    def finish(self, data: bytes) -> None:
        """Write the last part of the body, and let the connection go on."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        if self._has_chunks:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        if self._head:
            data, self._head = self._head + data, b""
        cycle.transport.write(data)
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
