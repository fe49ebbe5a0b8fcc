"""Represent one HTTP call, and keep a bounded log of the answered calls."""

from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from gateway.emulator.endpoint import Endpoint

if TYPE_CHECKING:
    from litestar.types import Receive, Send


DRAINED_TIMES_MAX = 4


class BodyTooLargeError(Exception):
    """Signal that the request's body is over the limit of its operation."""


class Call:
    """Represent one HTTP call of an operation for the duration of its request."""

    __slots__ = (
        "_body_is_read",
        "_query_string",
        "_receive",
        "endpoint",
        "handed_out",
        "job_id",
        "method",
        "rest",
        "send",
    )

    def __init__(  # There is one call site, and all arguments come from the ASGI call.
        self, endpoint: Endpoint, *, method: str, rest: str, query_string: bytes, receive: "Receive", send: "Send"
    ) -> None:
        self.endpoint = endpoint
        self.method = method
        self.rest = rest
        """Path after the operation, without slashes around it."""
        self.job_id = ""
        """Job id or ids for the log of calls; the operation sets it once it is known."""
        self.handed_out = 0
        """Number of stream items in the reply; they are removed from the job."""
        self.send = send
        self._receive = receive
        self._query_string = query_string
        self._body_is_read = False

    def query(self, name: str) -> str | None:
        """Return a parameter of the query string, or None if it is absent or empty."""
        if not self._query_string:
            return None
        return dict(parse_qsl(self._query_string.decode("latin-1"))).get(name)

    async def body(self, bytes_max: int) -> bytes:
        """Read the request's whole body.

        Raises:
            BodyTooLargeError: It is longer than `bytes_max`.
        """
        parts: list[bytes] = []
        length = 0
        while not self._body_is_read:
            message = await self._receive()
            if message["type"] != "http.request":
                break
            self._body_is_read = not message["more_body"]
            length += len(message["body"])
            # Drain a body over the limit, up to a multiple of it: a client that still sends does not read the reply.
            if length > DRAINED_TIMES_MAX * bytes_max:
                break
            if length <= bytes_max:
                parts.append(message["body"])
        if length > bytes_max:
            raise BodyTooLargeError
        return b"".join(parts)

    def caller_left(self) -> bool:
        """Return True if the client has closed the connection. Does not wait: abandons a `receive` that would block.

        A cancel scope with a zero timeout does the same at twenty times the cost, on a path that benchmarks measure.
        """
        while True:
            asking = self._receive().__await__()
            try:
                next(asking)
            except StopIteration as answered:
                if answered.value["type"] == "http.disconnect":
                    return True
            else:
                asking.close()
                return False


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one answered call for the admin API."""

    at_s: float
    """Time of arrival, in seconds of the emulator's monotonic clock."""
    endpoint: str
    operation: str
    method: str
    job_id: str
    status: int
    """HTTP status of the reply; 0 if a fault dropped the reply."""


class CallLog:
    """Keep the newest calls, in the order in which they were answered."""

    def __init__(self, calls_kept_max: int) -> None:
        self._records: deque[CallRecord] = deque(maxlen=calls_kept_max)

    def add(self, record: CallRecord) -> None:
        """Add one call, dropping the oldest if the log is full."""
        self._records.append(record)

    def clear(self) -> None:
        """Remove all calls."""
        self._records.clear()

    def records(self) -> list[CallRecord]:
        """Return the calls, oldest first."""
        return list(self._records)
