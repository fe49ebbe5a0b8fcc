"""Wake the tasks that wait for a named thing to change; almost free while no task waits."""

import anyio


class Signals:
    """Send one-shot wake-ups by name. A task must check its condition and call `wait` without an await in between."""

    def __init__(self) -> None:
        self._events: dict[str, anyio.Event] = {}

    def wake(self, name: str) -> None:
        """Wake every task that waits for the name now."""
        event = self._events.pop(name, None)
        if event is not None:
            event.set()

    def wake_all(self) -> None:
        """Wake every waiting task."""
        for name in list(self._events):
            self.wake(name)

    async def wait(self, name: str) -> None:
        """Wait for the next `wake` of the name. Bound it with a cancel scope."""
        event = self._events.get(name)
        if event is None:
            event = self._events[name] = anyio.Event()
        try:
            await event.wait()
        finally:
            # The last waiter removes the event, so that cancelled waits leave nothing behind.
            if self._events.get(name) is event and not event.statistics().tasks_waiting:
                del self._events[name]
