"""Encode those responses as HTTP/1.x that the server writes or frames itself."""

from collections.abc import Iterable

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.api.middleware import CORS
from gateway.connection_limits import Refusal
from gateway.errors import (
    GatewayError,
    HeadTooLargeError,
    InvalidRequestError,
    SlowRequestError,
    TooManyConnectionsError,
)
from gateway.translate.client_formats.openai_errors import error_body
from gateway.translate.error_body import error_answer


def malformed() -> InvalidRequestError:
    """Return the error for bytes that are not valid HTTP."""
    return InvalidRequestError("The request is not valid HTTP.", code="invalid_http")


def refusal_of(error: BaseException) -> Refusal:
    """Return the kind of a refusal, for metrics."""
    match error:
        case HeadTooLargeError():
            return Refusal.TOO_LARGE
        case SlowRequestError():
            return Refusal.SLOW
        case TooManyConnectionsError():
            return Refusal.NO_ROOM
        case _:
            return Refusal.MALFORMED


def refusal(
    error: GatewayError, default_headers: Iterable[tuple[bytes, bytes]], *, request_id: str, is_head: bool = False
) -> bytes:
    """Encode an error as the last response of a connection; a response to HEAD has no body (RFC 9110, 9.3.2).

    It always has CORS headers, because without a complete head it is unknown whether the request has an Origin.
    """
    answer = error_answer(error)
    body = error_body(answer)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-request-id": request_id,
        "request-id": request_id,
        "connection": "close",
        **answer.headers(),
    }
    lines = [b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in headers.items()]
    lines += [b"%s: %s\r\n" % each for each in (*CORS, *default_headers)]
    return b"".join([STATUS_LINE[answer.status], *lines, b"\r\n", b"" if is_head else body])


def knows_chunks(http_version: str) -> bool:
    """Return True if a client with this HTTP version can read a chunked body (RFC 9112, 6.1)."""
    return http_version == "1.1"


def is_half_until_close(cycle: RequestResponseCycle) -> bool:
    """Return True for an incomplete response whose end is the end of the connection (RFC 9112, 8)."""
    is_under_way = cycle.response_started and not cycle.response_complete
    return is_under_way and not knows_chunks(cycle.scope["http_version"])


class UntilClose:
    """Send a response to a client that cannot read chunks: the end of the connection ends the body.

    uvicorn chunks every response without a content-length, for every HTTP version (Kludex/uvicorn#1360).
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        cycle.keep_alive = False
        self._cycle = cycle
        self._has_length = False

    async def send(self, message: ASGISendEvent) -> None:
        """Pass an ASGI message to uvicorn, with chunked encoding disabled."""
        cycle = self._cycle
        if message["type"] == "http.response.start":
            self._has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self._has_length:
                cycle.chunked_encoding = False
        elif message["type"] == "http.response.body" and not self._has_length:
            # uvicorn subtracts the bytes that it writes from this, and raises if they exceed it.
            cycle.expected_content_length = len(message.get("body", b""))
        await cycle.send(message)
