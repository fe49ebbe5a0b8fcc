"""Collect the whole reply to a call, within its bounds. Pure."""

from collections.abc import Callable

import msgspec

from gateway.errors import GatewayError, UnreachableError

REPLY_BYTES_MAX = 32 * 1024 * 1024
"""Maximum size of a page or status. By Runpod's documentation a streamed output has at most 1 MB, and the result of a
job 20 MB."""
TOO_LARGE = "reply too large"

Hold = Callable[[int], None]
"""Callback that records a size in bytes."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a complete reply."""

    status: int
    body: bytes | bytearray
    retry_after_s: float | None


class ReplyReader:
    """Collect one reply. After `failed` or a `feed` that returns True, the rest of the reply need not be read."""

    __slots__ = ("_body", "_hold", "_retry_after_s", "_status")

    def __init__(self, hold: Hold) -> None:
        """Create it; `hold` receives the size of the reply so far, and raises if that is too large."""
        self._hold = hold
        self._status = 0
        self._retry_after_s: float | None = None
        # One buffer: joining or copying a large reply would need twice the memory.
        self._body = bytearray()

    def head(self, status: int, retry_after_s: float | None) -> None:
        """Record the head of the reply."""
        self._status, self._retry_after_s = status, retry_after_s

    def feed(self, piece: bytes) -> bool:
        """Add a piece of the body; return True if nothing after it matters.

        Raises:
            UnreachableError: The reply is too large.
            GatewayError: The error of `hold`.
        """
        self._body += piece
        try:
            self._hold(bounded(len(self._body), REPLY_BYTES_MAX))
        except GatewayError:
            if self._status < 400:
                raise
            # The status of a failure is enough.
            self._body = bytearray()
            return True
        return False

    def failed(self, error: UnreachableError) -> None:
        """Record that the reply broke off.

        Raises:
            UnreachableError: This error, unless the status is that of a failure, which is enough.
        """
        if self._status < 400:
            raise error
        self._body = bytearray()

    def end(self) -> Reply:
        """Return the reply."""
        return Reply(status=self._status, body=self._body, retry_after_s=self._retry_after_s)


def bounded(size: int, bytes_max: int) -> int:
    """Return a size that is within its bound.

    Raises:
        UnreachableError: The size is beyond the bound, which does not indicate an outage.
    """
    if size > bytes_max:
        raise UnreachableError(TOO_LARGE, was_sent=True, is_outage=False)
    return size
