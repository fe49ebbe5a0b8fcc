"""An event loop whose time passes only while nothing can run: sleeps cost nothing, and a busy machine changes nothing.

Tests that need no server run on it (see `tests/conftest.py`). Whenever every task waits, time jumps to the next timer.
It does not jump while something outside the loop may still wake it: a thread that works for it, or a socket that it
watches. A test whose tasks wait for something that can never come fails at once, where it would hang otherwise.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import anyio.to_thread

START_S = 1000.0
TURN_S = 1e-5
"""The duration of one iteration of the loop: a task that polls without sleeping reaches its timeout, and a timer that
rounding made a little early is not armed again for ever."""


class DeadlockError(AssertionError):
    """Raised when every task waits, no timer is set, and nothing outside the loop can wake it."""


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the time to the next timer where the loop would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S
        self.threads_working = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += TURN_S
        happened = super().select(0)
        if happened or (timeout is not None and timeout <= 0):
            return happened
        # The loop itself has one socket, on which threads and signals wake it.
        if self.threads_working or len(self.get_map()) > 1:
            return super().select(None)
        if timeout is None:
            raise DeadlockError("every task waits for something that cannot happen any more")
        self.now_s += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, on a selector that jumps."""

    def __init__(self) -> None:
        self.selector = _JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now_s

    def be_busy(self, seconds: float) -> None:
        """Let time pass in which no task runs, as it does while one task occupies the thread."""
        self.selector.now_s += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self.selector.threads_working += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        self.selector.threads_working += 1
        await super().shutdown_default_executor(*args)

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self.selector.threads_working -= 1


class LoopClock:
    """A `gateway.clock.Clock` that gives the time of the running loop, virtual or not."""

    def monotonic_s(self) -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return START_S

    def unix_s(self) -> float:
        return 1_800_000_000.0 + self.monotonic_s()


_run_sync = anyio.to_thread.run_sync


async def _run_sync_noticed(*args: Any, **options: Any) -> Any:
    """Call `anyio.to_thread.run_sync`, with virtual time standing still meanwhile."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        return await _run_sync(*args, **options)
    loop.selector.threads_working += 1
    try:
        return await _run_sync(*args, **options)
    finally:
        loop.selector.threads_working -= 1


anyio.to_thread.run_sync = _run_sync_noticed
