import pytest

from gateway.errors import UnreachableError, UpstreamBusyError, WorkerError
from gateway.upstream.client import EndpointClient, make_transport
from tests.factories import endpoint
from tests.fakes.raw_server import raw_server, reply
from tests.relaying import relayed

pytestmark = pytest.mark.server


async def read(answer: bytes) -> bytes:
    async with raw_server(answer) as server:
        transport = make_transport()
        try:
            body = await relayed(EndpointClient(endpoint(base_url=f"{server.url}/v2"), transport))
        finally:
            await transport.aclose()
        assert server.requests[0].startswith(b"POST /v2/ep1/openai/v1/chat/completions HTTP/1.1")
        return body


async def test_an_answer_is_given_as_it_comes() -> None:
    assert await read(reply(b"data: {}\n\n")) == b"data: {}\n\n"


async def test_a_body_in_parts_is_a_whole_request() -> None:
    large = memoryview(b"x" * 300_000)
    async with raw_server(reply(b"{}"), reply(b"{}")) as server:
        transport = make_transport()
        client = EndpointClient(endpoint(base_url=f"{server.url}/v2"), transport)
        try:
            for body in ((b"x" * 300_002,), (b"x", large, b"x")):
                assert await relayed(client, body) == b"{}"
        finally:
            await transport.aclose()
        whole, parted = server.requests
        assert whole == parted
        assert b"\r\nhost: 127.0.0.1:%d\r\n" % server.port in whole
        assert b"\r\ncontent-length: 300002\r\n" in whole


async def test_an_error_status_is_raised() -> None:
    with pytest.raises(WorkerError) as caught:
        await read(reply(b'{"error":{"message":"bad","code":400}}', 400))
    assert caught.value.status == 400


async def test_the_wait_of_an_unreadable_5xx_is_kept() -> None:
    head = b"HTTP/1.1 503 X\r\nretry-after: 7\r\ncontent-length: 9\r\nconnection: close\r\n\r\n"
    for answer in (head + b"half", head.replace(b"content-length: 9", b"content-encoding: x")):
        with pytest.raises(UnreachableError) as caught:
            await read(answer)
        assert caught.value.retry_after_s == 7
    with pytest.raises(UpstreamBusyError):
        await read(head.replace(b" 503 ", b" 429 ") + b"half")


async def test_an_answer_that_breaks_off_is_raised() -> None:
    with pytest.raises(UnreachableError):
        await read(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n")
