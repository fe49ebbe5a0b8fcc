"""`fairpod check-config`: what is wrong with a file, before it is served."""

import argparse
import os
from pathlib import Path

from gateway.app import Gateway
from gateway.commands.exit_codes import OK, report
from gateway.config.config_file import ConfigFile
from gateway.config.reading import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--config", type=Path, required=True, help="the configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Check the file as `serve` would read it."""
    try:
        Gateway(ConfigFile(arguments.config, os.environ).read())
    except ConfigError as error:
        return report(error)
    print(f"{arguments.config} is good.")
    return OK
