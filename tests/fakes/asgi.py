"""One ASGI request without a server: its messages, and a client that leaves when the test says so."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel

from gateway.api.disconnect import Disconnect, attach_disconnect
from tests.stacks import KEY


class AsgiCall:
    """A POST to the gateway."""

    def __init__(self, path: str, body: Any, *, headers: dict[str, str] | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.on_send: Callable[[], None] = lambda: None
        self._has_left = anyio.Event()
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._body_sent = False
        sent = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **(headers or {})}
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self.disconnect = Disconnect()
        attach_disconnect(self.scope, self.disconnect)

    def leave(self) -> None:
        """The client closes its connection."""
        self._has_left.set()
        self.disconnect.fire()

    async def receive(self) -> dict[str, Any]:
        if not self._body_sent:
            self._body_sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self.on_send()
        await anyio.lowlevel.checkpoint()

    async def run(self, app: Any) -> None:
        await app(self.scope, self.receive, self.send)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_complete(self) -> bool:
        return bool(self.messages) and self.messages[-1].get("more_body") is False

    @property
    def events(self) -> list[Any]:
        """The data of each event; `[DONE]` as it is."""
        frames = [frame for frame in self.body.split(b"\n\n") if frame.startswith(b"data: ")]
        return [frame[6:].decode() if frame == b"data: [DONE]" else json.loads(frame[6:]) for frame in frames]
