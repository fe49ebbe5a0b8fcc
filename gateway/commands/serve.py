"""Implement `fairpod serve`: run the gateway."""

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

from gateway.app import Gateway
from gateway.commands.config_reload import ConfigReloader
from gateway.commands.exit_codes import report
from gateway.commands.generated_key import is_told, keep_key
from gateway.config.config_file import ConfigFile
from gateway.config.loader import ConfigError, Problem
from gateway.config.quickstart import quickstart
from gateway.config.schema import Config
from gateway.config.to_domain import endpoint_of
from gateway.connection_limits import ClientLimits
from gateway.file_descriptors import DescriptorBudget, raise_limit, reserve_of, share_out
from gateway.observability.process_log import log_in_thread
from gateway.server.processes import WORKERS_MAX, run_workers
from gateway.server.run import Address, serve

PORT_MAX = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--config", type=Path, default=os.environ.get("FAIRPOD_CONFIG"), help="path of the configuration file"
    )
    parser.add_argument("--host", help="address to listen on (overrides listen.host)")
    parser.add_argument("--port", type=int, help="port to listen on (overrides listen.port)")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="number of processes; more than 1 requires state.kind: redis",
    )
    # For the processes started by --workers: each one's number, its listening socket and the number of processes.
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped by a signal. Return the exit status."""
    file = None if arguments.config is None else ConfigFile(Path(arguments.config), os.environ)
    if file is not None:
        # A SIGHUP before there is a handler would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        config = _from_environment() if file is None else file.read()
        host = arguments.host or config.listen.host
        port = config.listen.port if arguments.port is None else arguments.port
        check_start(config, port=port, workers=arguments.workers)
        log_in_thread(config.logs.format)
        replica = f"{socket.gethostname()} {port} {arguments.worker}"
        gateway = Gateway(config, replica=replica, processes=arguments.processes)
    except ConfigError as error:
        return report(error)
    if arguments.workers > 1:
        return run_workers(arguments.workers, config=arguments.config, host=host, port=port)
    plan = gateway.memory
    parts = {"requests": plan.requests, "answers": plan.answers, "kept": plan.kept}
    gateway.log.say(
        "gateway.memory",
        is_warning=plan.memory.size < plan.bytes_min,
        bytes=plan.memory.size,
        source=plan.memory.source,
        parts=parts,
        body_bytes_max=gateway.body_bytes_max,
    )
    descriptors = raise_limit()
    room = room_of(config, descriptors=descriptors)
    if room.is_limited:
        gateway.log.say(
            "connections.limited",
            is_warning=True,
            connections_max=room.clients.connections_max,
            configured=config.clients.connections_max,
            descriptors=descriptors,
            reserve=room.reserve,
        )
    metrics_port = None if config.metrics_port is None else config.metrics_port + arguments.worker
    return serve(
        gateway,
        Address(host=host, port=port, metrics_port=metrics_port, inherited=arguments.listener),
        room=room,
        beside=None if file is None else ConfigReloader(gateway, file).run,
    )


def room_of(config: Config, *, descriptors: int) -> DescriptorBudget:
    """Return the number of connections that a process with this many file descriptors may have."""
    section = config.clients
    asked = ClientLimits(
        head_bytes_max=section.head_bytes_max,
        head_s=section.head_timeout_s,
        read_s=section.read_timeout_s,
        write_s=section.write_timeout_s,
        connections_max=section.connections_max,
    )
    reserve = reserve_of(map(endpoint_of, config.endpoints), descriptors=descriptors)
    return share_out(asked, descriptors=descriptors, reserve=reserve, has_metrics_port=config.metrics_port is not None)


def check_start(config: Config, *, port: int, workers: int = 1) -> None:
    """Check the file against the port of the clients and the number of processes.

    Raises:
        ConfigError: They do not fit together.
    """
    if not 0 <= port <= PORT_MAX:
        raise ConfigError([Problem("--port", f"must be from 0 to {PORT_MAX}; 0 selects a free port")])
    if not 1 <= workers <= WORKERS_MAX:
        raise ConfigError([Problem("--workers", f"must be from 1 to {WORKERS_MAX}")])
    if workers > 1 and config.state.kind == "memory":
        text = "multiple processes require a shared store; set state: {kind: redis, url: redis://HOST:PORT/0}"
        raise ConfigError([Problem("--workers", text)])
    if config.metrics_port is None:
        return
    last = config.metrics_port + workers - 1
    if workers > 1 and (last > PORT_MAX or config.metrics_port <= port <= last):
        text = f"each process uses its own port, {config.metrics_port} to {last}; choose a range of free ports"
        raise ConfigError([Problem("metrics_port", text)])
    if config.metrics_port == port:
        text = f"is also the client port, {port}; choose another port, or set null to serve /metrics on the client port"
        raise ConfigError([Problem("metrics_port", text)])


def _from_environment() -> Config:
    quick = quickstart(os.environ)
    if quick.new_key is None:
        return quick.config
    kept = keep_key(quick.new_key, os.environ)
    if is_told(is_terminal=sys.stdout.isatty(), environment=os.environ, process=os.getpid()):
        print(f"API key for your clients: {kept.key if kept else quick.new_key}", flush=True)
    elif kept is None:
        text = "the generated key cannot be saved; set this variable to a key from `fairpod key --tenant default`"
        raise ConfigError([Problem("FAIRPOD_API_KEY", text)])
    if kept is None:
        return quick.config
    print(f"The API key for your clients is stored in {kept.path}; set FAIRPOD_API_KEY to use another key.", flush=True)
    return quickstart({**os.environ, "FAIRPOD_API_KEY": kept.key}).config
