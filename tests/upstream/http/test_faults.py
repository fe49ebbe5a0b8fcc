"""What the system says of a connection that could not be opened, and what it says where this machine is at fault."""

import contextlib
import errno
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.errors import ConnectFault
from gateway.upstream.failures import unreachable
from gateway.upstream.http import dial
from gateway.upstream.http.dial import Address
from gateway.upstream.http.faults import connect_fault
from gateway.upstream.http.transport import HttpTransport
from tests.upstream.http.calls import call
from tests.upstream.http.certificates import Certificates
from tests.upstream.http.server import answering, serving

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("error", "fault", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), ConnectFault.REFUSED, ""),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), ConnectFault.DNS, "EAI_NONAME"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), ConnectFault.DNS, "EAI_AGAIN"),
        (UnicodeError("label too long"), ConnectFault.DNS, "invalid host name"),
        (ssl.SSLError(1, "x"), ConnectFault.TLS, "x"),
        (TimeoutError(), ConnectFault.TIMEOUT, ""),
        (OSError(errno.EMFILE, "x"), ConnectFault.NO_DESCRIPTORS, "EMFILE"),
        (OSError(errno.ENFILE, "x"), ConnectFault.NO_DESCRIPTORS, "ENFILE"),
        (OSError(errno.ENOBUFS, "x"), ConnectFault.NO_RESOURCES, "ENOBUFS"),
        (OSError(errno.ENOMEM, "x"), ConnectFault.NO_RESOURCES, "ENOMEM"),
        (OSError(errno.EADDRNOTAVAIL, "x"), ConnectFault.NO_RESOURCES, "EADDRNOTAVAIL"),
        (OSError(errno.EHOSTUNREACH, "x"), ConnectFault.OTHER, "EHOSTUNREACH"),
        (OSError("no number"), ConnectFault.OTHER, ""),
        (OSError(99999, "x"), ConnectFault.OTHER, "99999"),
        (None, ConnectFault.OTHER, ""),
    ],
)
def test_every_failure_has_its_kind(error: BaseException | None, fault: ConnectFault, told: str) -> None:
    assert connect_fault(error) == (fault, told)


async def reason_of(url: str, transport: httpx.AsyncBaseTransport | None = None) -> tuple[str, bool]:
    """The text for the log, and whether this machine is at fault."""
    made = transport or HttpTransport()
    try:
        with pytest.raises(httpx.ConnectError) as caught:
            await call(made, url)
    finally:
        await made.aclose()
    failure = unreachable(caught.value)
    assert not failure.was_sent
    assert failure.fault is not None
    return failure.reason, failure.is_local


async def test_connections_that_fail_are_told_apart(certificates: Certificates) -> None:
    assert await reason_of("http://127.0.0.1:1") == ("ConnectError: refused", False)
    assert (await reason_of("http://no-such-host.invalid"))[0].startswith("ConnectError: dns: EAI_")

    async def speak_plainly(_reader: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(speak_plainly) as plain:
        assert (await reason_of(f"https://127.0.0.1:{plain.port}"))[0].startswith("ConnectError: tls: ")
    async with serving(answering(b""), tls=certificates.server) as secret:
        found = (await reason_of(f"https://localhost:{secret.port}"))[0]
        assert found.startswith("ConnectError: certificate: ")
        assert "issuer certificate" in found or "self-signed" in found


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "no-such-host.invalid"])
async def test_without_descriptors_this_machine_is_at_fault(host: str) -> None:
    with no_descriptors():
        found = await reason_of(f"http://{host}:1")
    assert found == ("ConnectError: no_descriptors: EMFILE", True)


async def test_an_address_that_this_machine_cannot_use_does_not_hide_how_the_others_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def attempt(address: Address) -> socket.socket:
        raise OSError(errno.EADDRNOTAVAIL if address[0] == socket.AF_INET6 else errno.ECONNREFUSED, "x")

    monkeypatch.setattr(dial, "_attempt", attempt)
    unusable, refusing = (socket.AF_INET6, ("::1", 1)), (socket.AF_INET, ("127.0.0.1", 1))
    for addresses in ([unusable, refusing], [refusing, unusable]):
        with pytest.raises(ConnectionRefusedError):
            await dial.race(addresses)
    with pytest.raises(OSError, match="x") as caught:
        await dial.race([unusable])
    assert caught.value.errno == errno.EADDRNOTAVAIL
