"""Both event loops that the gateway may run on, and both transports: ours, and httpx's own as the reference."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import uvloop

from gateway.upstream.http.transport import HttpTransport
from tests.upstream.http.certificates import Certificates
from tests.virtual_time import VirtualTimeLoop

Make = Callable[..., httpx.AsyncBaseTransport]


def stock(tls: ssl.SSLContext | None = None) -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30)
    return httpx.AsyncHTTPTransport(verify=tls or False, trust_env=False, limits=limits)


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time") is not None:
        return {"virtual": VirtualTimeLoop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=[HttpTransport, stock], ids=["own", "stock"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
async def transport(make: Make) -> AsyncIterator[httpx.AsyncBaseTransport]:
    made = make()
    yield made
    await made.aclose()


@pytest.fixture
async def own() -> AsyncIterator[HttpTransport]:
    made = HttpTransport()
    yield made
    await made.aclose()


@pytest.fixture(scope="package")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))
