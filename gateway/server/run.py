"""Run a gateway on uvicorn, and stop it gracefully."""

import gc
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import anyio
import msgspec
import uvicorn
from litestar.types import ASGIApp

from gateway import __version__
from gateway.app import Gateway
from gateway.clock import Clock, SystemClock
from gateway.connection_limits import Connections, Refusal
from gateway.events import ClientRefused, Observer
from gateway.file_descriptors import DescriptorBudget
from gateway.server.protocol import bounded_by

SHUTDOWN_S_MAX = 3
"""Seconds that uvicorn waits for connections after the drain: by then only idle ones are left."""
BACKLOG = 2048
KEEP_ALIVE_S = 75
"""Keep-alive timeout in seconds, longer than the usual 60 s of proxies: if the server closed a connection first, a
request that a proxy is just sending on it would be lost."""
Background = Callable[[], Coroutine[Any, Any, None]]
JOBS_LEFT = 3
"""Exit code of a process that could not cancel all of its jobs in time: the others end when their TTL expires."""
WORKER_CANNOT_LISTEN = 4
"""Exit code of one of several processes that cannot listen on its metrics port: a restart would not help."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """Disable uvicorn's signal handling, which closes the sockets before the drain and ends by raising the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the address that a gateway listens on."""

    host: str
    port: int
    metrics_port: int | None
    inherited: int | None
    """File descriptor of a listening socket that a parent shares among several processes; None to open one."""


def serve(gateway: Gateway, address: Address, *, room: DescriptorBudget, beside: Background | None) -> int:
    """Serve until SIGTERM or Ctrl-C, then drain; return the exit code. `beside` is a task that runs meanwhile.

    A background task that is given up ends the process in the same way, with exit code 1. The exit code is `JOBS_LEFT`
    if jobs still run that no process will cancel.
    """
    host, metrics_port = address.host, address.metrics_port
    is_for_metrics = False
    with ExitStack() as stack:
        try:
            main = listen(host, address.port) if address.inherited is None else socket.socket(fileno=address.inherited)
            listeners = [(gateway.app, stack.enter_context(main))]
            if metrics_port is not None:
                is_for_metrics = True
                listeners.append((gateway.metrics_app, stack.enter_context(listen(host, metrics_port))))
        except OSError as error:
            code = cannot_listen(host, error, metrics_port if is_for_metrics else None)
            return code if address.inherited is None else WORKER_CANNOT_LISTEN
        addresses = [f"{host}:{each.getsockname()[1]}" for _, each in listeners]
        gateway.log.say("gateway.started", listening=addresses, version=__version__)
        _calm_collector()
        anyio.run(_serve, gateway, listeners, room, beside, backend_options={"use_uvloop": sys.platform != "win32"})
    if gateway.supervisor.given_up is not None:
        return 1
    return JOBS_LEFT if gateway.has_left_jobs else 0


def _calm_collector() -> None:
    """Make cyclic garbage collection less frequent: nearly all objects are freed by reference counting.

    Objects that exist now are never freed, so the collector need not visit them (`gc.freeze`). Measured: 849 to 678 us
    per relayed request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def cannot_listen(host: str, error: OSError, metrics_port: int | None = None) -> int:
    """Print why a port cannot be used, and the remedy; return the exit code.

    `metrics_port` is set if it is the port that cannot be used.
    """
    if metrics_port is None:
        text = f"Cannot listen on {host}: {error}. Choose another port with --port."
    else:
        text = (
            f"Cannot listen on {host} port {metrics_port} for /metrics: {error}. Choose another port with "
            "`metrics_port`, or set `metrics_port: null` to serve /metrics on the client port."
        )
    print(text, file=sys.stderr)
    return 1


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: The address is in use, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


async def _serve(
    gateway: Gateway,
    listeners: list[tuple[ASGIApp, socket.socket]],
    room: DescriptorBudget,
    beside: Background | None,
) -> None:
    # Each listener has its own connection limit: clients that exhaust theirs do not block operators.
    clock = SystemClock()
    refused = _teller(gateway.observe, clock)
    connections = [Connections(room.clients, clock, refused), Connections(room.operators, clock, refused)]
    servers = [_server(app, own) for (app, _), own in zip(listeners, connections, strict=False)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_failure, gateway, servers)
        running: dict[str, Background] = {"signals": partial(_stop_on_signal, gateway, servers)}
        if beside is not None:
            running["config"] = beside
        running |= {f"connections_{number}": own.sweep for number, own in enumerate(connections)}
        for name, run in running.items():
            tasks.start_soon(gateway.supervisor.keep, name, run)
        async with anyio.create_task_group() as serving:
            for server, (_, listener) in zip(servers, listeners, strict=True):
                serving.start_soon(_run, server, listener, servers)
        tasks.cancel_scope.cancel()


def _teller(observe: Observer, clock: Clock) -> Callable[[Refusal, str], None]:
    def refused(reason: Refusal, request_id: str) -> None:
        observe(ClientRefused(reason=reason, request_id=request_id, at_s=clock.monotonic_s()))

    return refused


async def _run(server: _Server, listener: socket.socket, servers: list[_Server]) -> None:
    """Run one server; if it cannot start or ends, stop all servers."""
    try:
        await server.serve(sockets=[listener])
    finally:
        _stop(servers)


def _server(app: ASGIApp, connections: Connections) -> _Server:
    config = uvicorn.Config(
        app,
        http=bounded_by(connections),  # type: ignore[arg-type]  # uvicorn only calls it.
        ws="none",
        lifespan="on",
        # uvicorn's log lines are written by gateway.observability.process_log.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_S_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return _Server(config)


async def _stop_on_signal(gateway: Gateway, servers: list[_Server]) -> None:
    """Drain on the first signal; on each further one, end the requests in flight and stop."""
    with anyio.open_signal_receiver(*_SIGNALS) as signals:
        async with anyio.create_task_group() as tasks:
            is_first = True
            async for _ in signals:
                if is_first:
                    is_first = False
                    tasks.start_soon(_drain, gateway, servers)
                else:
                    # Even then every client receives an error, and jobs are cancelled.
                    try:
                        await gateway.drain(is_hurried=True)
                    finally:
                        _stop(servers)


async def _stop_on_failure(gateway: Gateway, servers: list[_Server]) -> None:
    """Drain when a background task is given up, as on a signal."""
    await gateway.supervisor.wait_given_up()
    await _drain(gateway, servers)


async def _drain(gateway: Gateway, servers: list[_Server]) -> None:
    try:
        await gateway.drain()
    finally:
        _stop(servers)


def _stop(servers: list[_Server]) -> None:
    for server in servers:
        server.should_exit = True
