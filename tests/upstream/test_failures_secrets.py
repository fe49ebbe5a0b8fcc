"""What a failed call leaves in exceptions, with all their causes, names no key: a bug's traceback goes to the log."""

import traceback

import httpx
import pytest

from gateway.domain import Secret
from gateway.errors import GatewayError
from gateway.upstream.client import EndpointClient, make_transport
from gateway.upstream.request import UpstreamRequest
from tests.chaos.questions import PROMPT_WORD, RUNPOD_KEY, SECRETS
from tests.factories import endpoint
from tests.fakes.raw_server import CLOSE, raw_server

pytestmark = pytest.mark.server

ANSWERS = {
    "no answer": CLOSE,
    "no HTTP": b"banana\r\n\r\n",
    "a bad status line": b"HTTP/1.1 two hundred\r\n\r\n",
    "a bad header": b"HTTP/1.1 200 X\r\nbad header\r\n\r\n",
    "cut short": b"HTTP/1.1 200 X\r\ncontent-length: 50\r\nconnection: close\r\n\r\nhalf",
    "a broken chunk": b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n",
    "silence": b"HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\n",
}


def said_by(error: BaseException | None) -> str:
    """Every text of an exception and of those behind it that a traceback shows."""
    said = "" if error is None else "".join(traceback.format_exception(error))
    while error is not None:
        said += f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    # The frames are the test's own.
    return said.replace("Traceback (most recent call last)", "")


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_an_exception_names_no_key_and_no_prompt(answer: bytes) -> None:
    async with raw_server(answer) as server:
        transport: httpx.AsyncBaseTransport = make_transport()
        client = EndpointClient(endpoint(base_url=server.url, api_key=Secret(RUNPOD_KEY)), transport)
        request = UpstreamRequest(path="/run", body=(PROMPT_WORD.encode(),), read_timeout_s=0.2, total_s_max=0.2)
        try:
            with pytest.raises(GatewayError) as caught:
                await client.call(request)
        finally:
            await transport.aclose()
    SECRETS.check("an exception", said_by(caught.value))
