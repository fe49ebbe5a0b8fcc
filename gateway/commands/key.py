"""`fairpod key`: a new key for a tenant, shown once."""

import argparse
import re

from gateway.commands.exit_codes import OK
from gateway.config.keys import key_line, new_key
from gateway.config.sections import NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--tenant", type=_name, required=True, help="the tenant's name in the file")


def run(arguments: argparse.Namespace) -> int:
    """Make the key."""
    key = new_key()
    print(f"The key of {arguments.tenant}, shown only now: {key}")
    print(f'The line for the file, under the tenant\'s keys: "{key_line(key)}"')
    return OK


def _name(text: str) -> str:
    """Return a name that the file takes; where it is none, the parser says so and ends the command."""
    if re.fullmatch(NAME, text) is None:
        allowed = "128 letters, digits, spaces and ._:/- at most, the first a letter or digit"
        raise argparse.ArgumentTypeError(f"the file takes no such name for a tenant: give {allowed}")
    return text
