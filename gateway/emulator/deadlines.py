"""One deadline for each job, the earliest first. Pure."""

import heapq
from typing import Generic, Protocol, TypeVar

NEVER_S = float("inf")
STALE_ENTRIES_SPARED = 64


class Dated(Protocol):
    """Something that says when it is due; infinitely late is never."""

    deadline_s: float


T = TypeVar("T", bound=Dated)


class Deadlines(Generic[T]):
    """A heap whose entries go stale when their owner's `deadline_s` moves; stale ones are skipped and swept in bulk."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, dated: T, due_s: float, *, owners: int) -> None:
        """Make this its only deadline. `owners` is how many have one: the heap stays within a multiple of it."""
        dated.deadline_s = due_s
        if due_s == NEVER_S:
            return
        self._pushed += 1
        heapq.heappush(self._heap, (due_s, self._pushed, dated))
        if len(self._heap) > 4 * owners + STALE_ENTRIES_SPARED:
            self._heap = [entry for entry in self._heap if entry[2].deadline_s == entry[0]]
            heapq.heapify(self._heap)

    def next_s(self) -> float:
        """When the next one is due, at the earliest."""
        return self._heap[0][0] if self._heap else NEVER_S

    def pop_due(self, now_s: float) -> T | None:
        """The one that is due longest, if one is. Its entry is gone; its `deadline_s` is for the caller to move."""
        while self._heap and self._heap[0][0] <= now_s:
            due_s, _, dated = heapq.heappop(self._heap)
            if dated.deadline_s == due_s:
                return dated
        return None
