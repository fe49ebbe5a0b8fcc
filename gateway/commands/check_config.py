"""`fairpod check-config`: what is wrong with a file, before it is served."""

import argparse
import os
from pathlib import Path

from gateway.app import Gateway
from gateway.commands.exit_codes import OK, report
from gateway.config.reading import ConfigError, load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Check the file as `serve` would read it."""
    try:
        Gateway(load_config(arguments.config, os.environ))
    except ConfigError as error:
        return report(error)
    print(f"{arguments.config} is good.")
    return OK
