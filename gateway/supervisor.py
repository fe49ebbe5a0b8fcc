"""Keep the background tasks of a process running: report a failed task, and restart it.

A task that keeps failing is given up. The process then fails its liveness probe (`/livez`), drains and ends, because
otherwise it would seem to work without that task.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

import anyio

from gateway.clock import Clock
from gateway.events import Observer, TaskFailed
from gateway.restart_policy import Restarts

Run = Callable[[], Awaitable[None]]
"""Task that runs until it is cancelled. It is called again after a failure, so it has to continue from that state."""


class TaskEndedError(Exception):
    """Report that a background task ended without being cancelled."""


class Supervisor:
    """Run the background tasks of one process."""

    def __init__(self, clock: Clock, observe: Observer) -> None:
        self.names: list[str] = []
        """Names of the tasks that were started."""
        self.given_up: str | None = None
        """Name of the first task that was given up; None if there is none."""
        self._clock = clock
        self._observe = observe
        self._gave_up = anyio.Event()

    async def keep(self, name: str, run: Run) -> None:
        """Run a task until cancelled, or until it is given up. Exceptions of the task are reported, not raised."""
        self.names.append(name)
        restarts = Restarts()
        while True:
            began_at_s = self._clock.monotonic_s()
            error = await _failure(run)
            pause_s = restarts.failed(ran_s=self._clock.monotonic_s() - began_at_s)
            self._observe(TaskFailed(task=name, error=error, restart_s=pause_s))
            if pause_s is None:
                self.give_up(name)
                return
            await anyio.sleep(pause_s)

    def give_up(self, name: str) -> None:
        """Record that a task does not run any more."""
        self.given_up = self.given_up or name
        self._gave_up.set()

    async def wait_given_up(self) -> None:
        """Wait until a task is given up."""
        await self._gave_up.wait()


async def _failure(run: Run) -> Exception:
    """Run a task; return the error that it failed with.

    Raises:
        CancelledError: The task was cancelled from outside.
    """
    try:
        await run()
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        # Awaiting a future that a library cancelled raises this too, and a task group would not report it.
        ended = TaskEndedError("was cancelled internally")
        ended.__cause__ = error
        return ended
    except Exception as error:  # noqa: BLE001 - every error of a background task is reported.
        return _cause(error)
    return TaskEndedError("returned")


def _cause(error: Exception) -> Exception:
    """Return the only exception in nested exception groups; the innermost group if it has several."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _is_cancelled() -> bool:
    """Return True if this task was cancelled, by an anyio scope or by asyncio."""
    task = asyncio.current_task()
    return anyio.current_effective_deadline() == -math.inf or (task is not None and task.cancelling() > 0)
