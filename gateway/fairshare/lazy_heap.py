"""Implement a heap whose keys grow by themselves and are evaluated again only at the top."""

import heapq
from collections.abc import Callable, KeysView
from typing import Generic, TypeVar

T = TypeVar("T")

VOID_ENTRIES_MIN = 64
"""Minimum number of void entries before the heap is rebuilt without them."""


class LazyHeap(Generic[T]):
    """Find the member with the smallest key, where keys only grow between two pushes.

    The stored key of an entry is a lower bound: the key of the top entry is evaluated again, and the entry moves down
    if the key grew, until a top entry is up to date. A caller that makes a key smaller has to push the member again,
    which makes its older entry void.
    """

    def __init__(self, key: Callable[[T, float], float]) -> None:
        self._key = key
        self._entries: list[tuple[float, int, T]] = []
        self._current: dict[T, int] = {}
        self._pushes = 0

    @property
    def members(self) -> KeysView[T]:
        """Return a view of the members."""
        return self._current.keys()

    def push(self, member: T, now_s: float) -> None:
        """Add a member, or update one whose key became smaller."""
        self._pushes += 1
        self._current[member] = self._pushes
        heapq.heappush(self._entries, (self._key(member, now_s), self._pushes, member))
        if len(self._entries) > 2 * len(self._current) + VOID_ENTRIES_MIN:
            # Void entries are dropped at the top only; a member that is added and removed often could add them faster.
            self._entries = [entry for entry in self._entries if self._current.get(entry[2]) == entry[1]]
            heapq.heapify(self._entries)

    def remove(self, member: T) -> None:
        """Remove a member; do nothing if it is absent."""
        self._current.pop(member, None)

    def smallest(self, now_s: float) -> T | None:
        """Return the member with the smallest key, among equals the one pushed first; None if empty."""
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
        """Return the member with the smallest key among those for which `may` is true, in linear time."""
        chosen = filter(may, self._current)
        return min(chosen, key=lambda member: (self._key(member, now_s), self._current[member]), default=None)
