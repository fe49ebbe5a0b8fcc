"""A heap over members whose keys grow by themselves, read again only when they come up."""

import heapq
from collections.abc import Callable, KeysView
from typing import Generic, TypeVar

T = TypeVar("T")

VOID_ENTRIES_MIN = 64
"""Fewer than these are not worth clearing out."""


class LazyHeap(Generic[T]):
    """Finds the member with the smallest key, where keys only grow between two pushes.

    An entry's stored key is then a lower bound: the top is read again, and put back if it grew, until it did not.
    Whatever makes a key smaller has to push the member again, which makes its older entry void.
    """

    def __init__(self, key: Callable[[T, float], float]) -> None:
        self._key = key
        self._entries: list[tuple[float, int, T]] = []
        self._current: dict[T, int] = {}
        self._pushes = 0

    @property
    def members(self) -> KeysView[T]:
        """Who is in it."""
        return self._current.keys()

    def push(self, member: T, now_s: float) -> None:
        """Put a member in, or take note that its key became smaller."""
        self._pushes += 1
        self._current[member] = self._pushes
        heapq.heappush(self._entries, (self._key(member, now_s), self._pushes, member))
        if len(self._entries) > 2 * len(self._current) + VOID_ENTRIES_MIN:
            # Void entries leave when they come up, which one who comes and goes can outrun.
            self._entries = [entry for entry in self._entries if self._current.get(entry[2]) == entry[1]]
            heapq.heapify(self._entries)

    def remove(self, member: T) -> None:
        """Take a member out; nothing happens if it is not in."""
        self._current.pop(member, None)

    def smallest(self, now_s: float) -> T | None:
        """The member with the smallest key; among equals the one that was pushed first."""
        entries = self._entries
        while entries:
            stored, push, member = entries[0]
            if self._current.get(member) != push:
                heapq.heappop(entries)
                continue
            key = self._key(member, now_s)
            if key <= stored:
                return member
            heapq.heapreplace(entries, (key, push, member))
        return None

    def smallest_of(self, may: Callable[[T], bool], now_s: float) -> T | None:
        """Return the smallest of the members for which `may` is true, in one step for each member."""
        chosen = filter(may, self._current)
        return min(chosen, key=lambda member: (self._key(member, now_s), self._current[member]), default=None)
