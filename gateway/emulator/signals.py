"""Wakes the coroutines that wait for a named thing to change; costs next to nothing while nobody waits."""

import anyio


class Signals:
    """One-shot wake-ups by name. Who waits looks first, and waits without another await in between."""

    def __init__(self) -> None:
        self._events: dict[str, anyio.Event] = {}

    def wake(self, name: str) -> None:
        """Wake everybody who waits for the name now."""
        event = self._events.pop(name, None)
        if event is not None:
            event.set()

    def wake_all(self) -> None:
        """Wake everybody."""
        for name in list(self._events):
            self.wake(name)

    async def wait(self, name: str) -> None:
        """Return at the next `wake`. Bound it with a cancel scope."""
        event = self._events.get(name)
        if event is None:
            event = self._events[name] = anyio.Event()
        try:
            await event.wait()
        finally:
            # A wait that was given up leaves nothing behind once it was the last one.
            if self._events.get(name) is event and not event.statistics().tasks_waiting:
                del self._events[name]
