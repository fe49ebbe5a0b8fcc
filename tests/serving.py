"""Runs an ASGI app on a real uvicorn server, on a free loopback port, for the length of a `with` block."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn

from gateway.clock import SystemClock
from gateway.connection_limits import ClientLimits, Connections
from gateway.server.protocol import bounded_by

START_S_MAX = 30.0
STOP_S_MAX = 30.0


class _AnnouncingServer(uvicorn.Server):
    """A server that says when it accepts connections, or that it has given up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.settled.set()


def serving_gateway(app: Any) -> contextlib.AbstractContextManager[str]:
    """Serve a gateway's application with the protocol that `serve` uses, and limits that no test comes near.

    With FAIRPOD_TEST_SERVER=uvicorn, serve it as uvicorn serves any application.
    """
    if os.environ.get("FAIRPOD_TEST_SERVER") == "uvicorn":
        return serving(app)
    limits = ClientLimits(head_bytes_max=32_768, head_s=60, read_s=60, write_s=60, connections_max=10_000)
    return serving(app, http=bounded_by(Connections(limits, SystemClock())), proxy_headers=False)


@contextlib.contextmanager
def serving(app: Any, **uvicorn_options: Any) -> Iterator[str]:
    """Serve `app` in a thread with its own event loop; yields the base URL, without a trailing slash.

    The server is stopped at the end of the block, open streams with it: they get half a second.
    """
    options: dict[str, Any] = {
        "loop": "uvloop",
        "http": "httptools",
        # As `serve` does: uvicorn's own configuration would outlive the server in this process.
        "log_config": None,
        "log_level": "warning",
        "lifespan": "on",
        "timeout_graceful_shutdown": 0.5,
        # Longer than a client keeps a connection: who is closed on while it sends cannot know what was taken.
        "timeout_keep_alive": 75,
        **uvicorn_options,
    }
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        server = _AnnouncingServer(uvicorn.Config(app, **options))

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                server.settled.set()

        thread = threading.Thread(target=run, name="serving", daemon=True)
        thread.start()
        try:
            if not server.settled.wait(START_S_MAX) or not server.started:
                raise RuntimeError("the server did not start")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(STOP_S_MAX)
            if thread.is_alive():
                raise RuntimeError("the server did not stop")
