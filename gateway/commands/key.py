"""Implement `fairpod key`: make a new key for a tenant, which is shown once."""

import argparse
import re

from gateway.commands.exit_codes import OK
from gateway.config.keys import key_line, new_key
from gateway.config.schema import NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--tenant", type=_name, required=True, help="name of the tenant in the configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Make a key and print it with its line for the configuration file."""
    key = new_key()
    print(f"API key of {arguments.tenant}, shown only once: {key}")
    print(f'Line for the configuration file, under the tenant\'s keys: "{key_line(key)}"')
    return OK


def _name(text: str) -> str:
    """Check that the configuration file accepts the name, and return it.

    Raises:
        argparse.ArgumentTypeError: It does not; the parser prints the reason and ends the command.
    """
    if re.fullmatch(NAME, text) is None:
        allowed = "at most 128 letters, digits, spaces and ._:/-, beginning with a letter or digit"
        raise argparse.ArgumentTypeError(f"invalid tenant name; expected {allowed}")
    return text
