import pytest

from gateway.domain import Secret
from gateway.errors import UnreachableError
from gateway.upstream.client import EndpointClient, make_transport
from gateway.upstream.reply import REPLY_BYTES_MAX
from gateway.upstream.request import UpstreamRequest
from tests.factories import endpoint
from tests.fakes.raw_server import raw_server, reply

pytestmark = pytest.mark.server


def get(timeout_s: float = 5) -> UpstreamRequest:
    return UpstreamRequest(method="GET", path="/x", read_timeout_s=timeout_s, total_s_max=timeout_s)


async def test_connections_are_used_again() -> None:
    async with raw_server(reply(b"a"), reply(b"b")) as server:
        transport = make_transport()
        subject = EndpointClient(endpoint(base_url=server.url), transport)
        bodies = [(await subject.call(get())).body for _ in range(2)]
        await transport.aclose()
    assert bodies == [b"a", b"b"]


async def test_silence_has_an_end() -> None:
    async with raw_server(b"HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\n") as server:
        transport = make_transport()
        subject = EndpointClient(endpoint(base_url=server.url), transport)
        with pytest.raises(UnreachableError) as caught:
            await subject.call(get(0.05))
        await transport.aclose()
    assert caught.value.was_sent


async def test_a_reply_is_bounded() -> None:
    async with raw_server(reply(b"x" * (REPLY_BYTES_MAX + 1))) as server:
        transport = make_transport()
        subject = EndpointClient(endpoint(base_url=server.url), transport)
        with pytest.raises(UnreachableError, match="too large"):
            await subject.call(get())
        await transport.aclose()


def test_the_key_is_in_no_repr() -> None:
    made = endpoint()
    assert "rpa_test" not in repr(made)
    assert "rpa_test" not in repr(EndpointClient(made, make_transport()))


async def test_another_key_is_sent_from_then_on() -> None:
    async with raw_server(reply(b"a"), reply(b"b")) as server:
        transport = make_transport()
        subject = EndpointClient(endpoint(base_url=server.url), transport)
        await subject.call(get())
        subject.use_key(Secret("rpa_new"))
        await subject.call(get())
        await transport.aclose()
    assert [b"Bearer rpa_new" in request for request in server.requests] == [False, True]
