"""An event loop whose time stands still until it is told, and which goes on one tick at a time."""

import asyncio
from collections.abc import Callable

from tests.fakes.clock import FakeClock

TICKS_MAX = 2000
TICK_S = 1e-9
"""What a tick takes: a timer that rounding makes a little early may be armed again, but not for ever."""


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.virtual_clock = clock

    def time(self) -> float:
        return self.virtual_clock.monotonic_s()

    def tick(self) -> None:
        """Run what is ready now and the timers that are due, once."""
        self.virtual_clock.now_s += TICK_S
        self.stop()
        self.run_forever()

    @property
    def is_idle(self) -> bool:
        """Whether nothing happens before time passes."""
        due_s = self.time() + self._clock_resolution  # type: ignore[attr-defined]
        return not self._ready and all(timer.when() >= due_s for timer in self.timers())  # type: ignore[attr-defined]

    def timers(self) -> list[asyncio.TimerHandle]:
        """Those that will still go off."""
        return [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]

    def settle(self, tick: Callable[[], None] | None = None) -> None:
        """Tick, in the caller's way where it has one, until nothing happens any more."""
        for _ in range(TICKS_MAX):
            if self.is_idle:
                return
            (tick or self.tick)()
        raise AssertionError("the loop never comes to rest")

    def pass_time(self, seconds: float, settle: Callable[[], None] | None = None) -> None:
        """Let every timer go off at its time, as on a machine that has nothing else to do."""
        settle, clock = settle or self.settle, self.virtual_clock
        end_s = clock.now_s + seconds
        settle()
        while (due_s := min((timer.when() for timer in self.timers()), default=end_s)) < end_s:
            clock.now_s = max(due_s, clock.now_s)
            settle()
        clock.now_s = max(end_s, clock.now_s)
        settle()

    def shut(self) -> None:
        """End every task, and close."""
        while tasks := asyncio.all_tasks(self):
            for task in tasks:
                task.cancel()
            self.tick()
        self.close()
