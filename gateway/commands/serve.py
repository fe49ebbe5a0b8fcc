"""`fairpod serve`: the gateway."""

import argparse
import os
import sys
from pathlib import Path

from gateway.app import Gateway
from gateway.commands.exit_codes import report
from gateway.config.quickstart import quickstart
from gateway.config.reading import ConfigError, load_config
from gateway.config.sections import Config
from gateway.observability.logs import configure_logs
from gateway.server import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--config", type=Path, default=os.environ.get("FAIRPOD_CONFIG"), help="the configuration file")
    parser.add_argument("--host", help="instead of listen.host")
    parser.add_argument("--port", type=int, help="instead of listen.port")


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    try:
        config = _from_environment() if arguments.config is None else load_config(Path(arguments.config), os.environ)
        configure_logs(config.logs.format)
        gateway = Gateway(config)
    except ConfigError as error:
        return report(error)
    host = arguments.host or config.listen.host
    port = config.listen.port if arguments.port is None else arguments.port
    return serve(gateway, host=host, port=port, metrics_port=config.metrics_port)


def _from_environment() -> Config:
    quick = quickstart(os.environ)
    if quick.new_key is not None:
        print(f"Made a key for your clients, shown only now: {quick.new_key}", file=sys.stdout, flush=True)
    return quick.config
