import ssl
from typing import Any

import anyio
import httpx
import pytest

from gateway.upstream.http.tls import ClientTls
from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import read_request, reply
from tests.upstream.http.calls import call, no_socket_but, open_sockets
from tests.upstream.http.certificates import Certificates
from tests.upstream.http.server import answering, serving
from tests.waiting import BOUND_S, eventually_here

pytestmark = pytest.mark.server


def of(server: Any, name: str = "localhost") -> str:
    return f"https://{name}:{server.port}"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_call_over_tls(make: Any, certificates: Certificates, name: str) -> None:
    transport = make(certificates.client())
    async with serving(answering(*[reply(b"a")] * 3), tls=certificates.server) as server:
        for _ in range(3):
            assert await call(transport, of(server, name)) == (200, b"a")
        assert server.connections == 1
        await transport.aclose()


async def test_large_bodies_over_tls(make: Any, certificates: Certificates) -> None:
    body = bytes(range(256)) * 20_000

    async def handle(reader: Any, writer: Any) -> None:
        asked = await read_request(reader)
        writer.write(reply(asked.partition(b"\r\n\r\n")[2]))
        await writer.drain()

    transport = make(certificates.client())
    async with serving(handle, tls=certificates.server) as server:
        assert await call(transport, of(server), body=body) == (200, body)
        await transport.aclose()


async def test_an_unknown_certificate_is_refused(make: Any, certificates: Certificates) -> None:
    transport = make(ssl.create_default_context())
    async with serving(answering(reply(b"a")), tls=certificates.server) as server:
        with pytest.raises(httpx.ConnectError):
            await call(transport, of(server))
        await transport.aclose()


async def test_the_default_context_trusts_no_stranger(certificates: Certificates) -> None:
    own = HttpTransport()
    async with serving(answering(reply(b"a")), tls=certificates.server) as server:
        with pytest.raises(httpx.ConnectError):
            await call(own, of(server))
        await own.aclose()


async def test_another_host_s_certificate_is_refused(make: Any, certificates: Certificates) -> None:
    transport = make(certificates.client())
    async with serving(answering(reply(b"a")), tls=certificates.server) as server:
        with pytest.raises(httpx.ConnectError):
            await call(transport, of(server, "127.0.0.2"))
        await transport.aclose()


@pytest.mark.parametrize("garbage", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "no tls"])
async def test_a_handshake_that_fails(make: Any, certificates: Certificates, garbage: bytes) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        await reader.read(1)
        writer.write(garbage)
        await writer.drain()

    transport = make(certificates.client())
    async with serving(handle) as server:
        with pytest.raises(httpx.ConnectError):
            await call(transport, of(server))
        await transport.aclose()


@pytest.mark.parametrize("how", ["closes", "resets", "answers unasked"])
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_server_that_hangs_up_at_once(certificates: Certificates, how: str, *, tls: bool) -> None:
    """Whether that is seen before or after the request is sent: an error, and nothing left that closing waits for."""

    async def handle(_: Any, writer: Any) -> None:
        if how == "resets":
            writer.transport.abort()
        elif how == "answers unasked":
            writer.write(reply(b"evil"))
            await writer.drain()

    own = HttpTransport(certificates.client())
    async with serving(handle, tls=certificates.server if tls else None) as server:
        url = of(server) if tls else server.url
        for _ in range(20):
            try:
                answered = await call(own, url)
            except httpx.TransportError:
                continue
            # What was sent before the request and is read after it cannot be told from an answer.
            assert answered == (200, b"evil")
            assert how == "answers unasked"
        with anyio.fail_after(BOUND_S):
            await own.aclose()


async def test_a_handshake_that_takes_too_long_leaves_no_socket(certificates: Certificates) -> None:
    async def handle(reader: Any, _: Any) -> None:
        while await reader.read(4096):
            pass

    own = HttpTransport(certificates.client())
    async with serving(handle) as server:
        sockets = open_sockets()
        with pytest.raises(httpx.ConnectTimeout):
            await call(own, of(server), connect=0.05)
        await no_socket_but(sockets)
        await eventually_here(lambda: server.open == 0)
        await own.aclose()


async def test_http_1_1_is_agreed_on_and_the_next_handshake_is_short(certificates: Certificates) -> None:
    """The server would also speak HTTP/2. It closes after each answer, so that the second needs a handshake."""
    seen = []

    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        spoken: ssl.SSLObject = writer.get_extra_info("ssl_object")
        seen.append((spoken.selected_alpn_protocol(), spoken.session_reused))
        writer.write(reply(b"a", 200, "connection: close"))
        await writer.drain()

    own = HttpTransport(certificates.client())
    async with serving(handle, tls=certificates.server) as server:
        for _ in range(2):
            await call(own, of(server))
        await own.aclose()
    assert seen == [("http/1.1", False), ("http/1.1", True)]


async def test_the_end_of_a_body_without_a_length_has_to_be_said(certificates: Certificates) -> None:
    """Under TLS a connection that just breaks off may have been cut by anybody; httpx's own takes it for the end."""

    async def handle(reader: Any, writer: Any) -> None:
        asked = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        if b"/cut" in asked:
            writer.transport.abort()

    own = HttpTransport(certificates.client())
    async with serving(handle, tls=certificates.server) as server:
        assert await call(own, of(server)) == (200, b"hello")
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await call(own, f"{of(server)}/cut")
        await own.aclose()


def test_a_context_goes_on_checking(certificates: Certificates) -> None:
    tls = ClientTls(certificates.client())
    assert tls.context.check_hostname
    assert tls.context.verify_mode is ssl.CERT_REQUIRED
    tls.remember(tls.context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost"))
    assert not tls._states
