"""Runpod's /openai/* route: one call that becomes a job of its own, relayed as it comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.domain import Api
from gateway.upstream.client import EndpointClient
from gateway.upstream.failures import relay_failure

ERROR_BYTES_MAX = 64 * 1024


class OpenAIRoute:
    """The OpenAI route of one endpoint."""

    def __init__(self, client: EndpointClient) -> None:
        self._client = client

    @asynccontextmanager
    async def answer(
        self, api: Api, body: bytes, *, read_timeout_s: float, traceparent: str | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """POST the body; give the bytes of the answer as they come. Leaving closes the call.

        Raises:
            GatewayError: The route answered with an error, or not at all.
        """
        path = f"/openai{api.value}"
        async with self._client.opened(
            "POST", path, body=body, read_timeout_s=read_timeout_s, traceparent=traceparent
        ) as answer:
            if answer.status != 200:
                head = await _head(answer.pieces)
                raise relay_failure(answer.status, body=head, retry_after=answer.retry_after)
            yield answer.pieces


async def _head(pieces: AsyncIterator[bytes]) -> bytes:
    """The beginning of an error body: more of it is no use."""
    head = bytearray()
    async for piece in pieces:
        head += piece
        if len(head) >= ERROR_BYTES_MAX:
            break
    return bytes(head[:ERROR_BYTES_MAX])
