"""The log lines that wait to be written, bounded by their number and their size. Pure: the caller holds the lock."""

from collections import deque

LINES_MAX = 8192
BYTES_MAX = 4 * 1024 * 1024
"""Some seconds of a busy process's lines: enough for a collector that restarts, and little beside a pod's memory."""


class LineQueue:
    """First in, first out; when it is full, urgent lines take the place of ordinary ones."""

    def __init__(self, *, lines_max: int = LINES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._ordinary: deque[tuple[int, bytes]] = deque()
        self._urgent: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self._bytes = 0
        self._urgent_bytes = 0
        self.dropped = 0
        """Lines that found no room, or lost it to an urgent one, since the process began."""

    def __len__(self) -> int:
        """Return how many lines wait."""
        return len(self._ordinary) + len(self._urgent)

    def put(self, line: bytes, *, is_urgent: bool) -> None:
        """Take a line, or drop one: the newest ordinary line for an urgent one, this line itself otherwise."""
        size = len(line)
        is_full = len(self._ordinary) + len(self._urgent) >= self._lines_max
        if is_full or self._bytes + size > self._bytes_max:
            # One that has no room beside the urgent ones takes none from the others.
            may_push_out = is_urgent and self._urgent_bytes + size <= self._bytes_max
            while may_push_out and self._ordinary and not self._has_room(size):
                self._bytes -= len(self._ordinary.pop()[1])
                self.dropped += 1
            if not self._has_room(size):
                self.dropped += 1
                return
        self._number += 1
        self._bytes += size
        if is_urgent:
            self._urgent_bytes += size
            self._urgent.append((self._number, line))
        else:
            self._ordinary.append((self._number, line))

    def take(self, bytes_max: int) -> list[bytes]:
        """Return the oldest lines in the order in which they came: up to `bytes_max`, and one if there is any."""
        taken: list[bytes] = []
        size = 0
        if not self._urgent and self._bytes <= bytes_max:
            taken = [line for _, line in self._ordinary]
            self._ordinary.clear()
            self._bytes = 0
            return taken
        while (queue := self._oldest()) and (not taken or size + len(queue[0][1]) <= bytes_max):
            line = queue.popleft()[1]
            taken.append(line)
            size += len(line)
            self._urgent_bytes -= len(line) if queue is self._urgent else 0
        self._bytes -= size
        return taken

    def is_half_empty(self) -> bool:
        """Tell whether the queue is well below both of its bounds."""
        return 2 * len(self) <= self._lines_max and 2 * self._bytes <= self._bytes_max

    def _has_room(self, size: int) -> bool:
        lines_count = len(self._ordinary) + len(self._urgent)
        return lines_count < self._lines_max and self._bytes + size <= self._bytes_max

    def _oldest(self) -> deque[tuple[int, bytes]]:
        """Return the queue whose first line came first; an empty one if no line waits."""
        if not self._urgent or not self._ordinary:
            return self._urgent or self._ordinary
        return self._urgent if self._urgent[0][0] < self._ordinary[0][0] else self._ordinary
