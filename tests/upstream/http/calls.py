"""Makes a call through httpx's transport interface."""

import contextlib
import pathlib
from typing import Any

import httpx

from tests.waiting import BOUND_S, eventually_here

TIMEOUT: dict[str, Any] = dict.fromkeys(("connect", "read", "write"), BOUND_S)


def request(url: str, method: str = "POST", body: bytes = b"", **timeout: float) -> httpx.Request:
    return httpx.Request(method, url, content=body, extensions={"timeout": {**TIMEOUT, **timeout}})


async def call(
    transport: httpx.AsyncBaseTransport, url: str, method: str = "POST", body: bytes = b"", **timeout: float
) -> tuple[int, bytes]:
    response = await transport.handle_async_request(request(url, method, body, **timeout))
    stream: Any = response.stream
    try:
        return response.status_code, b"".join([piece async for piece in stream])
    finally:
        await stream.aclose()


async def no_socket_but(these: set[str]) -> None:
    """Wait until no other is open: a loop closes what was given up when it next looks."""
    await eventually_here(lambda: not open_sockets() - these)


def open_sockets() -> set[str]:
    """Those of this process, by their numbers: others than a test's own may go while it runs."""
    found: set[str] = set()
    for each in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(each.readlink()))
    return {name for name in found if name.startswith("socket:")}
