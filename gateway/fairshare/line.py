"""The line of one tenant: urgent tickets first, its members in turn, and first come, first served for each of them.

A member is whoever shares the tenant's turns: one of its keys. Members are a matter of their tenant alone: however many
there are, the other tenants notice nothing.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

URGENT_IN_A_ROW_MAX = 3
"""After so many urgent turns an ordinary ticket has one: nobody waits for ever."""


class _Round(Generic[T]):
    """Tickets of several members, who take turns."""

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


class Line(Generic[T]):
    """Tickets in the order of their turn. Every step is O(1)."""

    __slots__ = ("_ordinary", "_urgent", "_urgent_in_a_row", "_where")

    def __init__(self) -> None:
        self._urgent_in_a_row = 0
        # Made when they are needed: most lines are empty, and there may be many.
        self._urgent: _Round[T] | None = None
        self._ordinary: _Round[T] | None = None
        self._where: dict[T, tuple[_Round[T], str]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def enqueue(self, ticket: T, *, member: str = "", is_urgent: bool = False) -> None:
        """A ticket begins to wait."""
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
        """A ticket waits no longer; False if it did not."""
        place = self._where.pop(ticket, None)
        if place is None:
            return False
        queue, member = place
        queue.remove(ticket, member)
        return True

    def newest(self) -> T:
        """The ticket that came last, still waiting."""
        return next(reversed(self._where))

    def grant(self) -> T:
        """Take out the ticket whose turn it is. The line is not empty."""
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
