"""Run the `fairpod` command. Only the module of the selected subcommand is imported: the others take a second."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from gateway import __version__

COMMANDS = {
    "serve": ("gateway.commands.serve", "run the gateway"),
    "demo": ("gateway.demo.command", "run an emulator, a worker and a gateway together"),
    "emulator": ("gateway.emulator.command", "emulate Runpod endpoints on this machine"),
    "healthcheck": ("gateway.commands.healthcheck", "check that the gateway on this machine is alive"),
    "check-config": ("gateway.commands.check_config", "check a configuration file"),
    "key": ("gateway.commands.key", "generate an API key for a tenant"),
}
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; return its exit code."""
    open_missing_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="fairpod", description="One OpenAI base URL for Runpod Serverless endpoints.")
    parser.add_argument("--version", action="version", version=f"fairpod {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    asked = next((word for word in given if not word.startswith("-")), None)
    try:
        for name, (module_name, text) in COMMANDS.items():
            command = commands.add_parser(name, help=text)
            if name == asked:
                module = importlib.import_module(module_name)
                module.add_arguments(command)
                command.set_defaults(run=module.run)
        parsed = parser.parse_args(given)
        return int(parsed.run(parsed))
    except KeyboardInterrupt:
        return INTERRUPTED


def open_missing_streams() -> None:
    """Open /dev/null for each standard stream that the process was started without (`>&-`).

    Python sets a missing stream to None. Also, the first socket would get the stream's descriptor, and log lines would
    be written to it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The system returns the lowest free descriptor, which is the stream's.
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(descriptor, mode))
