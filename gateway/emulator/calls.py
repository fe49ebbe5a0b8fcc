"""One call as the operations see it, and the bounded log of the calls that were answered."""

from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from gateway.emulator.endpoint import Endpoint

if TYPE_CHECKING:
    from litestar.types import Receive, Send


DRAINED_TIMES_MAX = 4


class BodyTooLargeError(Exception):
    """The request's body is over the limit of its operation."""


class Call:
    """One HTTP call of an operation. Not shared; lives as long as its request."""

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

    def __init__(  # The caller is one place, and each of these comes from the ASGI scope.
        self, endpoint: Endpoint, *, method: str, rest: str, query_string: bytes, receive: "Receive", send: "Send"
    ) -> None:
        self.endpoint = endpoint
        self.method = method
        self.rest = rest
        """The path after the operation, without slashes around it."""
        self.job_id = ""
        """For the log of calls; the operation sets it once it knows."""
        self.handed_out = 0
        """How many stream items the reply carries; they are gone."""
        self.send = send
        self._receive = receive
        self._query_string = query_string
        self._body_is_read = False

    def query(self, name: str) -> str | None:
        """One parameter of the query string."""
        if not self._query_string:
            return None
        return dict(parse_qsl(self._query_string.decode("latin-1"))).get(name)

    async def body(self, bytes_max: int) -> bytes:
        """The request's whole body.

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
            # A body that is too long is read all the same, within reason: a caller that still sends cannot read.
            if length > DRAINED_TIMES_MAX * bytes_max:
                break
            if length <= bytes_max:
                parts.append(message["body"])
        if length > bytes_max:
            raise BodyTooLargeError
        return b"".join(parts)

    def caller_left(self) -> bool:
        """Whether the caller has closed the connection by now. Does not wait: it asks once and takes the question back.

        A cancel scope without patience does the same at twenty times the price, on the path that benchmarks measure.
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
    """One call that was answered, for the admin API."""

    at_s: float
    """When it came, in seconds of the emulator's monotonic clock."""
    endpoint: str
    operation: str
    method: str
    job_id: str
    status: int
    """0 where the reply was lost on purpose."""


class CallLog:
    """The newest calls, in the order in which they were answered."""

    def __init__(self, calls_kept_max: int) -> None:
        self._records: deque[CallRecord] = deque(maxlen=calls_kept_max)

    def add(self, record: CallRecord) -> None:
        """Keep one call; the oldest goes when there are too many."""
        self._records.append(record)

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()

    def records(self) -> list[CallRecord]:
        """The calls, oldest first."""
        return list(self._records)
