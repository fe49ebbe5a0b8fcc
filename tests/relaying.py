"""Relay a request over the OpenAI route and read its whole answer, without an exchange around it."""

from gateway.errors import UnreachableError
from gateway.upstream.client import EndpointClient
from gateway.upstream.openai_route import GOOD_STATUSES, FailureReader, openai_request
from gateway.wire.openai import Parts


async def relayed(client: EndpointClient, body: Parts = (b"{}",)) -> bytes:
    """The body of a good answer; any other answer raises its error, as in `RelayAttempt` and its driver."""
    pieces: list[bytes] = []
    failure: FailureReader | None = None
    try:
        async with client.send(openai_request("/v1/chat/completions", body, read_timeout_s=5)) as answer:
            if answer.status not in GOOD_STATUSES:
                failure = FailureReader(answer.status, answer.retry_after_s)
            async for piece in answer.pieces:
                if failure is None:
                    pieces.append(piece)
                elif failure.feed(piece):
                    break
    except UnreachableError as error:
        raise (error if failure is None else failure.unreadable(error)) from error.__cause__
    if failure is not None:
        raise failure.failure()
    return b"".join(pieces)
