"""Queue log lines until they are written, bounded by number and size. Pure: the caller holds the lock."""

from collections import deque

LINES_MAX = 8192
BYTES_MAX = 4 * 1024 * 1024
"""Bound on the queue in bytes: some seconds of a busy process's lines, which covers the restart of a log collector and
is little compared with a pod's memory."""


class LineQueue:
    """Queue lines first in, first out; if it is full, urgent lines displace ordinary ones."""

    def __init__(self, *, lines_max: int = LINES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._ordinary: deque[tuple[int, bytes]] = deque()
        self._urgent: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self._bytes = 0
        self._urgent_bytes = 0
        self.dropped = 0
        """Number of lines dropped so far: rejected for lack of room, or displaced by urgent ones."""

    def __len__(self) -> int:
        """Return the number of queued lines."""
        return len(self._ordinary) + len(self._urgent)

    def put(self, line: bytes, *, is_urgent: bool) -> None:
        """Queue a line; if there is no room, drop the newest ordinary lines for an urgent one, else this line."""
        size = len(line)
        is_full = len(self._ordinary) + len(self._urgent) >= self._lines_max
        if is_full or self._bytes + size > self._bytes_max:
            # An urgent line that would not fit even without ordinary lines must not displace any of them.
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
        """Remove and return the oldest lines in order: up to `bytes_max` in total, but at least one if there is one."""
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
        """Return True if the queue uses at most half of both of its bounds."""
        return 2 * len(self) <= self._lines_max and 2 * self._bytes <= self._bytes_max

    def _has_room(self, size: int) -> bool:
        lines_count = len(self._ordinary) + len(self._urgent)
        return lines_count < self._lines_max and self._bytes + size <= self._bytes_max

    def _oldest(self) -> deque[tuple[int, bytes]]:
        """Return the deque whose first line is the oldest; an empty one if no line is queued."""
        if not self._urgent or not self._ordinary:
            return self._urgent or self._ordinary
        return self._urgent if self._urgent[0][0] < self._ordinary[0][0] else self._ordinary
