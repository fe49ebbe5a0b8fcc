"""`fairpod key`: a new key for a tenant, shown once."""

import argparse

from gateway.commands.exit_codes import OK
from gateway.config.keys import key_line, new_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--tenant", required=True, help="the tenant's name in the file")


def run(arguments: argparse.Namespace) -> int:
    """Make the key."""
    key = new_key()
    print(f"The key of {arguments.tenant}, shown only now: {key}")
    print(f'The line for the file, under the tenant\'s keys: "{key_line(key)}"')
    return OK
