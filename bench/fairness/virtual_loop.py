"""An asyncio loop whose clock jumps to the next timer: what takes minutes takes as long as its work."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_OUT_OF_TIME_S = 1e9


class _NoWaiting(selectors.SelectSelector):
    """Looks for input, of which there is none, and tells how long one would have waited."""

    def __init__(self, on_wait: Callable[[float], None]) -> None:
        super().__init__()
        self._on_wait = on_wait

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Never blocks."""
        if timeout is None:
            raise RuntimeError("everybody waits, and for nothing")
        if timeout > 0:
            self._on_wait(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at zero."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_NoWaiting(self._jump))

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def _jump(self, seconds: float) -> None:
        self._now_s += seconds
        if self._now_s > _OUT_OF_TIME_S:
            raise RuntimeError("there is nothing left to happen")


class VirtualClock:
    """What gates and leases read."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def monotonic_s(self) -> float:
        """The loop's."""
        return self._loop.time()

    def unix_s(self) -> float:
        """The same: nobody looks at it."""
        return self._loop.time()


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, in no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
