"""Call Runpod's /openai/* route: one call that becomes a job of its own, relayed as it arrives."""

from collections.abc import AsyncIterator

import httpx

from gateway.errors import GatewayError, UnreachableError
from gateway.upstream.client import EndpointClient, OpenAnswer, Opened
from gateway.upstream.failures import relay_failure, unreachable

ERROR_BYTES_MAX = 64 * 1024
GOOD_STATUSES = frozenset({200, 201})
"""Statuses of success: servers based on NestJS answer a POST with 201."""


class OpenAIRoute:
    """Call the OpenAI route of one endpoint."""

    def __init__(self, client: EndpointClient) -> None:
        self._client = client

    def opened(
        self,
        api_path: str,
        body: tuple[bytes | memoryview, ...],
        *,
        read_timeout_s: float,
        traceparent: str | None = None,
    ) -> Opened:
        """POST the body, given in parts, and hold the answer open, whatever its status.

        `api_path` is the path at the worker, such as `/v1/chat/completions`.
        Leaving the context closes the call.

        Raises:
            UnreachableError: There was no answer, or it broke off.
        """
        path = f"/openai{api_path}"
        return self._client.opened("POST", path, body=body, read_timeout_s=read_timeout_s, traceparent=traceparent)


async def good_pieces(answer: OpenAnswer) -> AsyncIterator[bytes]:
    """Return the pieces of the answer's body as they arrive.

    Raises:
        GatewayError: The answer is an error.
    """
    if answer.status not in GOOD_STATUSES:
        raise await _failure(answer)
    return answer.pieces


async def _failure(answer: OpenAnswer) -> GatewayError:
    try:
        head = await _head(answer.pieces)
    except (UnreachableError, httpx.TransportError) as error:
        unreadable = error if isinstance(error, UnreachableError) else unreachable(error)
        # Without a readable body, the status may be enough, as for 429.
        failure = relay_failure(answer.status, body=b"", retry_after_s=answer.retry_after_s)
        if not isinstance(failure, UnreachableError):
            return failure
        unreadable.retry_after_s = failure.retry_after_s
        return unreadable
    return relay_failure(answer.status, body=head, retry_after_s=answer.retry_after_s)


async def _head(pieces: AsyncIterator[bytes]) -> bytes:
    """Return at most ERROR_BYTES_MAX bytes of the beginning of an error body."""
    head = bytearray()
    async for piece in pieces:
        head += piece
        if len(head) >= ERROR_BYTES_MAX:
            break
    return bytes(head[:ERROR_BYTES_MAX])
