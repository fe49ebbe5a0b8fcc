"""Implement `fairpod key`: make a new key for a tenant, which is shown once."""

import argparse
import re

from gateway.commands.exit_codes import OK
from gateway.config.keys import key_line, new_key
from gateway.config.schema import NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--tenant", type=_name, required=True, help="the tenant's name in the file")


def run(arguments: argparse.Namespace) -> int:
    """Make a key and print it with its line for the configuration file."""
    key = new_key()
    print(f"The key of {arguments.tenant}, shown only now: {key}")
    print(f'The line for the file, under the tenant\'s keys: "{key_line(key)}"')
    return OK


def _name(text: str) -> str:
    """Check that the configuration file accepts the name, and return it.

    Raises:
        argparse.ArgumentTypeError: It does not; the parser prints the reason and ends the command.
    """
    if re.fullmatch(NAME, text) is None:
        allowed = "128 letters, digits, spaces and ._:/- at most, the first a letter or digit"
        raise argparse.ArgumentTypeError(f"the file takes no such name for a tenant: give {allowed}")
    return text
