"""Where the gateway of a chaos round lives, and what can be seen of it from outside."""

import asyncio
import contextlib
import io
import logging
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import structlog

from gateway.app import Gateway
from gateway.config.keys import key_line
from gateway.config.loader import parse_config
from gateway.observability.logs import configure_logs
from tests.chaos.questions import MODELS, RUNPOD_KEY, TENANT_KEYS
from tests.processes import Served
from tests.serving import serving_gateway

COLD_START_TIMEOUT_S, EXECUTION_TIMEOUT_S = 20.0, 20.0
_OF_CLIENTS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
"""Loggers whose debugging shows what the tests themselves send."""


class Watched:
    """An app, and the loop that runs it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    @property
    def tasks(self) -> int:
        """How many tasks its loop has."""
        return 0 if self._loop is None else len(asyncio.all_tasks(self._loop))


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that runs."""

    url: str
    pid: int
    read_log: Callable[[], str]
    """All that it wrote so far."""
    gateway: Gateway | None = None
    """Where it runs in this process."""
    watched: Watched | None = None

    def held(self) -> dict[str, int]:
        """Sockets, and where it can be seen also tasks and permits for calls. The same before and after a round."""
        held = {"sockets": _sockets(self.pid)}
        if self.gateway is not None and self.watched is not None:
            held["tasks"] = self.watched.tasks
            for name, upstream in self.gateway._upstreams.items():
                for operation, gate in upstream.gates.calls.items():
                    held[f"{name} {operation}"] = sum(gate.held.values()) + sum(gate.waiting.values())
        return held


def _sockets(pid: int) -> int:
    count = 0
    for each in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(each.readlink()).startswith("socket:")
    return count


@contextlib.contextmanager
def in_this_process(upstream_url: str) -> Iterator[Home]:
    """A gateway in a thread of the tests, with every logger at its most talkative."""
    stream = io.StringIO()
    with _everything_logged(stream):
        gateway = Gateway(parse_config(chaos_config(upstream_url), {}))
        watched = Watched(gateway.app)
        with serving_gateway(watched) as url:
            yield Home(url=url, pid=os.getpid(), read_log=stream.getvalue, gateway=gateway, watched=watched)


@contextlib.contextmanager
def _everything_logged(stream: io.StringIO) -> Iterator[None]:
    configure_logs("json", stream)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, _OF_CLIENTS))}
    for logger in levels:
        logger.setLevel(logging.DEBUG if logger is root else logging.WARNING)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)
        structlog.reset_defaults()


@contextlib.contextmanager
def in_its_own(upstream_url: str, directory: pathlib.Path) -> Iterator[Home]:
    """`fairpod serve` with the runtime's debugging on, which shows what tasks and callbacks are about."""
    config = chaos_config(upstream_url) | {"logs": {"format": "console"}}
    served = Served(directory, config)
    served.start({"PYTHONASYNCIODEBUG": "1"})
    try:
        yield Home(url=served.url, pid=served.process.pid, read_log=served.log.read_text)
    finally:
        served.kill()


def chaos_config(upstream_url: str) -> dict[str, Any]:
    """Three endpoints, one for each route, and two tenants."""
    routes = [model.removeprefix("m-") for model in MODELS]
    return {
        "metrics_port": None,
        "endpoints": [
            {
                "name": route,
                "id": route,
                "base_url": f"{upstream_url}/v2",
                "api_key": RUNPOD_KEY,
                "route": route,
                "max_in_flight": 50,
                "cold_start_timeout_s": COLD_START_TIMEOUT_S,
                "execution_timeout_s": EXECUTION_TIMEOUT_S,
            }
            for route in routes
        ],
        "models": [{"id": model, "endpoint": route} for model, route in zip(MODELS, routes, strict=True)],
        "tenants": [{"name": name, "keys": [key_line(key)]} for name, key in TENANT_KEYS.items()],
    }
