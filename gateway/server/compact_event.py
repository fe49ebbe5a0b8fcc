"""Save the memory of events that hardly anything waits for."""

import asyncio
from typing import Any


class CompactEvent(asyncio.Event):
    """Replace an `asyncio.Event`, whose deque of waiters takes 624 bytes: two of them for each open stream."""

    def __init__(self, *, is_set: bool = False) -> None:
        # Not `super().__init__()`, which creates the deque. A list has the methods that `asyncio.Event` uses.
        self._waiters: Any = []
        self._value = is_set
