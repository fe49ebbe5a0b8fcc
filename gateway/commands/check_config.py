"""Implement `fairpod check-config`: report the problems of a file before it is served."""

import argparse
import os
import sys
from pathlib import Path

from gateway.app import Gateway
from gateway.commands.exit_codes import OK, report
from gateway.commands.serve import check_start, room_of
from gateway.config.config_file import ConfigFile
from gateway.config.loader import ConfigError
from gateway.file_descriptors import limit_at_start
from gateway.memory_plan import MIB


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, required=True, help="path of the configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Check the file as `serve` would read it, and warn about memory and open files. Return the exit status."""
    try:
        config = ConfigFile(arguments.config, os.environ).read()
        check_start(config, port=config.listen.port)
        gateway = Gateway(config)
    except ConfigError as error:
        return report(error)
    plan = gateway.memory
    if plan.memory.size < plan.bytes_min:
        print(
            f"memory_bytes_max: a process in this environment may use {plan.memory.size // MIB} MiB "
            f"({plan.memory.source}), but needs at least {plan.bytes_min // MIB} MiB for these endpoints and "
            f"connections, and may be killed. It accepts bodies of at most {gateway.body_bytes_max} bytes. Increase "
            "its memory, or lower clients.connections_max.",
            file=sys.stderr,
        )
    room = room_of(config, descriptors=limit_at_start())
    if room.is_limited:
        print(
            f"clients.connections_max: a process in this environment may open {limit_at_start()} files, of which "
            f"{room.reserve} are reserved for calls to Runpod and other uses. It accepts "
            f"{room.clients.connections_max} connections instead of {config.clients.connections_max}. Raise its hard "
            "limit of open files, or lower this value.",
            file=sys.stderr,
        )
    print(f"{arguments.config} is valid.")
    return OK
