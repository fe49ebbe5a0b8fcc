"""Holds tests to the mark `server`: without it, none may open a listening socket or start a process.

Python's audit events tell of both, whatever library does it. uvloop's own binding is not seen, but every server that
these tests start in this process binds its socket before uvloop gets it.
"""

import sys
from typing import Any

# Binds a socket when it is imported, to see whether there is IPv6: not in the first test that needs it.
import urllib3  # noqa: F401

_EVENTS = {
    "socket.bind": "opened a listening socket",
    "subprocess.Popen": "started a process",
    "os.exec": "started a process",
    "os.fork": "started a process",
    "os.forkpty": "started a process",
    "os.posix_spawn": "started a process",
    "os.spawn": "started a process",
    "os.system": "started a process",
}


class ServerError(RuntimeError):
    """Raised in a test that does what only tests with the mark `server` may do."""


class ServerGuard:
    """Watches this process while a test without the mark runs."""

    def __init__(self) -> None:
        self._is_watching = False
        self._broken_by: str | None = None
        sys.addaudithook(self._heard)

    def watch(self, *, is_marked: bool) -> None:
        """Begin to watch, unless the test has the mark."""
        self._is_watching = not is_marked
        self._broken_by = None

    def rest(self) -> None:
        """Stop watching."""
        self._is_watching = False

    def violation(self) -> str | None:
        """Return once what the running test did; the code under test might have caught the error."""
        found, self._broken_by = self._broken_by, None
        return found

    def _heard(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS and self._is_watching:
            self._broken_by = f"This test {_EVENTS[event]} ({event}): mark it with pytest.mark.server."
            raise ServerError(self._broken_by)
