"""The floor: uvicorn and our transport with nothing between them. What a gateway of these parts cannot go below.

`python -m bench.speed.bare PORT UPSTREAM_PORT`. It passes bytes on as they come: no routing, no keys, no limits, no
metrics, no log, not a look at what it carries.
"""

import sys
from typing import Any

import httpx
import uvicorn

from gateway.upstream.http.transport import HttpTransport


class Relay:
    """An ASGI application that passes every request on."""

    def __init__(self, upstream_port: int) -> None:
        self._transport = HttpTransport()
        self._url = httpx.URL(f"http://127.0.0.1:{upstream_port}/v1/chat/completions")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        body, is_more = b"", True
        while is_more:
            message = await receive()
            body, is_more = body + message.get("body", b""), message.get("more_body", False)
        headers = {"content-type": "application/json"}
        response = await self._transport.handle_async_request(
            httpx.Request("POST", self._url, headers=headers, content=body)
        )
        kept = [each for each in response.headers.raw if each[0].lower() in {b"content-type", b"content-length"}]
        await send({"type": "http.response.start", "status": response.status_code, "headers": kept})
        async for piece in response.stream:  # type: ignore[union-attr]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


if __name__ == "__main__":
    uvicorn.run(
        Relay(int(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
    )
