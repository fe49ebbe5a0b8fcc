"""Implement `fairpod healthcheck`: check that the gateway of this machine or container answers (Docker's HEALTHCHECK).

A container's first process is the gateway, so its command line has the file and the port that it was started with.
No environment variable could: Kubernetes sets FAIRPOD_PORT by itself beside a Service called fairpod.
"""

import argparse
import http.client
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.commands.exit_codes import FAILED, OK
from gateway.config.listen_address import read_listen
from gateway.config.schema import Listen

PATH = "/livez"
TIMEOUT_S = 2.0
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a gateway may listen on these.
_PROGRAMS = {"fairpod", "gateway"}
"""Program names: as a script, and after `python -m`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `serve` that set its address."""
    text = "same as for `serve` (default: the option of process 1, then "
    parser.add_argument("--config", type=Path, help=f"{text}FAIRPOD_CONFIG)")
    parser.add_argument("--host", help=f"{text}listen.host)")
    parser.add_argument("--port", type=int, help=f"{text}listen.port)")
    # For tests, in which process 1 is not a gateway.
    parser.add_argument("--process", type=int, default=1, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Request /livez from the gateway and return the exit status."""
    started = serve_options(_command_line(arguments.process))
    listen = address(
        config=arguments.config or started.config or os.environ.get("FAIRPOD_CONFIG"),
        host=arguments.host or started.host,
        port=started.port if arguments.port is None else arguments.port,
    )
    connection = http.client.HTTPConnection(listen.host, listen.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", PATH)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"No answer from {listen.host} port {listen.port}: {error!r}", file=sys.stderr)
        return FAILED
    finally:
        connection.close()
    if status != 200:
        print(f"{PATH} on {listen.host} port {listen.port} returned HTTP {status}.", file=sys.stderr)
        return FAILED
    return OK


def address(*, config: Path | str | None, host: str | None, port: int | None) -> Listen:
    """Return the address of a gateway with these options, for a client on the same machine."""
    listen = Listen() if config is None else read_listen(Path(config), os.environ)
    host = host or listen.host
    return Listen(host=_ANY_ADDRESS.get(host, host), port=listen.port if port is None else port)


def serve_options(command_line: Sequence[str]) -> argparse.Namespace:
    """Return the options of `fairpod serve`, or of `python -m gateway serve`, in a command line."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    add_arguments(parser)
    given: list[str] = []
    for at, (program, command) in enumerate(itertools.pairwise(command_line)):
        if command == "serve" and Path(program).name in _PROGRAMS:
            given = list(command_line[at + 2 :])
    try:
        return parser.parse_known_args(given)[0]
    except argparse.ArgumentError:
        return parser.parse_args([])


def _command_line(process: int) -> list[str]:
    """Return the arguments with which a process was started, or an empty list if they cannot be read."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []
