"""Makes a call through httpx's transport interface."""

import gc
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


def open_sockets() -> int:
    """Those of this process, without any that an earlier test forgot and the collector would close in between."""
    gc.collect()
    count = 0
    for each in pathlib.Path("/proc/self/fd").iterdir():
        try:
            count += str(each.readlink()).startswith("socket:")
        except OSError:
            continue
    return count
