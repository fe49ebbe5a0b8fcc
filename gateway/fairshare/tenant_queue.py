"""Order the tickets of one tenant: urgent ones first, round robin among members, FIFO for each member.

A member is an API key of the tenant, or the network of a guest client. Members do not affect other tenants, however
many there are.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

URGENT_IN_A_ROW_MAX = 3
"""Maximum number of consecutive urgent grants while an ordinary ticket waits, to prevent starvation."""


class _Round(Generic[T]):
    """Hold tickets of several members and serve the members round robin."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[str, dict[T, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._members)

    def add(self, ticket: T, member: str) -> None:
        tickets = self._members.get(member)
        if tickets is None:
            self._members[member] = {ticket: None}
        else:
            tickets[ticket] = None

    def remove(self, ticket: T, member: str) -> None:
        tickets = self._members[member]
        del tickets[ticket]
        if not tickets:
            del self._members[member]

    def take(self) -> T:
        member, tickets = next(iter(self._members.items()))
        ticket = next(iter(tickets))
        del tickets[ticket]
        if not tickets or len(self._members) > 1:
            del self._members[member]
            if tickets:
                self._members[member] = tickets
        return ticket


class TenantQueue(Generic[T]):
    """Hold tickets in the order in which they are granted. Every operation is O(1)."""

    __slots__ = ("_ordinary", "_urgent", "_urgent_in_a_row", "_where")

    def __init__(self) -> None:
        self._urgent_in_a_row = 0
        # Created on demand: there may be many lines, and most are empty.
        self._urgent: _Round[T] | None = None
        self._ordinary: _Round[T] | None = None
        self._where: dict[T, tuple[_Round[T], str]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def enqueue(self, ticket: T, *, member: str = "", is_urgent: bool = False) -> None:
        """Add a ticket."""
        queue = self._urgent if is_urgent else self._ordinary
        if queue is None:
            queue = _Round()
            if is_urgent:
                self._urgent = queue
            else:
                self._ordinary = queue
        queue.add(ticket, member)
        self._where[ticket] = queue, member

    def withdraw(self, ticket: T) -> bool:
        """Remove a ticket; return False if it is not in the line."""
        place = self._where.pop(ticket, None)
        if place is None:
            return False
        queue, member = place
        queue.remove(ticket, member)
        return True

    def newest(self) -> T:
        """Return the waiting ticket that was added last. The line must not be empty."""
        return next(reversed(self._where))

    def grant(self) -> T:
        """Remove and return the next ticket. The line must not be empty."""
        urgent, ordinary = self._urgent, self._ordinary
        if urgent and (not ordinary or self._urgent_in_a_row < URGENT_IN_A_ROW_MAX):
            self._urgent_in_a_row += 1
            ticket = urgent.take()
        else:
            assert ordinary  # noqa: S101 - the line is not empty.
            self._urgent_in_a_row = 0
            ticket = ordinary.take()
        del self._where[ticket]
        return ticket
