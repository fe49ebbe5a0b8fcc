"""Describe requests on Runpod's /openai/* route: a call that becomes a job, relayed as it arrives. Pure."""

from gateway.errors import GatewayError, UnreachableError
from gateway.upstream.failures import relay_failure
from gateway.upstream.request import UpstreamRequest
from gateway.wire.openai import Parts

ERROR_BYTES_MAX = 64 * 1024
GOOD_STATUSES = frozenset({200, 201})
"""Statuses of success: servers based on NestJS answer a POST with 201."""


def openai_request(
    api_path: str, body: Parts, *, read_timeout_s: float, traceparent: str | None = None
) -> UpstreamRequest:
    """Return the request for a path at the worker, such as `/v1/chat/completions`."""
    return UpstreamRequest(path=f"/openai{api_path}", body=body, read_timeout_s=read_timeout_s, traceparent=traceparent)


class FailureReader:
    """Read the beginning of the body of a failure, at most ERROR_BYTES_MAX bytes."""

    __slots__ = ("_head", "_retry_after_s", "_status")

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        self._status = status
        self._retry_after_s = retry_after_s
        self._head = bytearray()

    def feed(self, piece: bytes) -> bool:
        """Add a piece; return True if no more is needed."""
        self._head += piece
        return len(self._head) >= ERROR_BYTES_MAX

    def failure(self) -> GatewayError:
        """Return the error that the body describes."""
        return self._failure(bytes(self._head[:ERROR_BYTES_MAX]))

    def unreadable(self, error: UnreachableError) -> GatewayError:
        """Return the error if the body broke off: the status may be enough, as for 429."""
        failure = self._failure(b"")
        if not isinstance(failure, UnreachableError):
            return failure
        error.retry_after_s = failure.retry_after_s
        return error

    def _failure(self, body: bytes) -> GatewayError:
        return relay_failure(self._status, body=body, retry_after_s=self._retry_after_s)
