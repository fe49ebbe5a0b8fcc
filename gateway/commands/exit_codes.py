"""Define the exit codes of commands."""

import sys

from gateway.config.loader import ConfigError

OK, FAILED, MISUSED = 0, 1, 2


def report(error: ConfigError) -> int:
    """Print every problem on its own line, and return the exit code."""
    for problem in error.problems:
        print(problem, file=sys.stderr)
    return MISUSED
