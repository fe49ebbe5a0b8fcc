"""Makes a call through httpx's transport interface."""

import contextlib
import pathlib
from typing import Any

import httpx

TIMEOUT: dict[str, Any] = {"connect": 5.0, "read": 5.0, "write": 5.0}


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


def open_sockets() -> set[str]:
    """Those of this process, by their numbers: others than a test's own may go while it runs."""
    found: set[str] = set()
    for each in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(each.readlink()))
    return {name for name in found if name.startswith("socket:")}
