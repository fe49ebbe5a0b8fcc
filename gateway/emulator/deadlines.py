"""Track one deadline per job, earliest first. Pure."""

import heapq
from typing import Generic, Protocol, TypeVar

NEVER_S = float("inf")
STALE_ENTRIES_SPARED = 64


class Dated(Protocol):
    """Describe an object with a deadline; infinity means that it has none."""

    deadline_s: float


T = TypeVar("T", bound=Dated)


class Deadlines(Generic[T]):
    """Hold deadlines in a heap. An entry is stale once its owner's `deadline_s` moves; stale ones are swept in bulk."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, dated: T, due_s: float, *, owners: int) -> None:
        """Set the object's only deadline. `owners` is the number of objects with one; it bounds the heap's size."""
        dated.deadline_s = due_s
        if due_s == NEVER_S:
            return
        self._pushed += 1
        heapq.heappush(self._heap, (due_s, self._pushed, dated))
        if len(self._heap) > 4 * owners + STALE_ENTRIES_SPARED:
            self._heap = [entry for entry in self._heap if entry[2].deadline_s == entry[0]]
            heapq.heapify(self._heap)

    def next_s(self) -> float:
        """Return the earliest time at which a deadline may be due; infinity if there is none."""
        return self._heap[0][0] if self._heap else NEVER_S

    def pop_due(self, now_s: float) -> T | None:
        """Remove and return the object with the earliest due deadline, or None. The caller sets its next deadline."""
        while self._heap and self._heap[0][0] <= now_s:
            due_s, _, dated = heapq.heappop(self._heap)
            if dated.deadline_s == due_s:
                return dated
        return None
