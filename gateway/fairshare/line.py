"""The line of one tenant: urgent tickets first, and first come, first served among equals."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


URGENT_IN_A_ROW_MAX = 3
"""After so many urgent turns an ordinary ticket has one: nobody waits for ever."""


class Line(Generic[T]):
    """Tickets in the order of their turn. Every step is O(1)."""

    def __init__(self) -> None:
        self._urgent_in_a_row = 0
        self._urgent: dict[T, None] = {}
        self._ordinary: dict[T, None] = {}

    def __len__(self) -> int:
        return len(self._urgent) + len(self._ordinary)

    def enqueue(self, ticket: T, *, is_urgent: bool = False) -> None:
        """A ticket begins to wait."""
        (self._urgent if is_urgent else self._ordinary)[ticket] = None

    def withdraw(self, ticket: T) -> None:
        """A ticket waits no longer; nothing happens if it did not."""
        self._urgent.pop(ticket, None)
        self._ordinary.pop(ticket, None)

    def grant(self) -> T | None:
        """Take out the ticket whose turn it is."""
        is_ordinary = not self._urgent or (self._ordinary and self._urgent_in_a_row >= URGENT_IN_A_ROW_MAX)
        queue = self._ordinary if is_ordinary else self._urgent
        if not queue:
            return None
        self._urgent_in_a_row = 0 if is_ordinary else self._urgent_in_a_row + 1
        ticket = next(iter(queue))
        del queue[ticket]
        return ticket
