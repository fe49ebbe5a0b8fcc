"""A client that leaves, as the server tells it.

ASGI's own way is a `receive` that returns when the client is gone: a task beside every request that waits in it, which
was a sixth of the CPU time of a relayed answer. A callback costs nothing until it is called.
"""

from collections.abc import Callable
from typing import Any

from litestar.types import Scope

_KEY = "fairpod.departure"


class Departure:
    """Whether the client of one request is gone, and who is to know."""

    __slots__ = ("_has_happened", "_told")

    def __init__(self) -> None:
        self._has_happened = False
        self._told: Callable[[], None] | None = None

    def tell(self, told: Callable[[], None] | None) -> None:
        """Call this when the client leaves, at once if it has left; with None, nobody. It must not raise."""
        self._told = told
        if self._has_happened and told is not None:
            told()

    def happen(self) -> None:
        """The client is gone; the server says so, once or more often."""
        if not self._has_happened:
            self._has_happened = True
            if self._told is not None:
                self._told()


def attach_departure(scope: Any, departure: Departure) -> None:
    """Lay it where the handlers of this request find it."""
    scope[_KEY] = departure


def departure_of(scope: Scope) -> Departure:
    """The departure of this request's client."""
    departure: Departure = scope[_KEY]  # type: ignore[literal-required]
    return departure
