"""One timer, however many wait for it."""

import asyncio
from collections.abc import Callable


class WakeTimer:
    """Calls `wake` once after the time that was set first."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._handle: asyncio.TimerHandle | None = None
        self.is_set = False
        """Whether it will wake."""

    def set(self, after_s: float) -> None:
        """Wake after so many seconds; nothing changes where a time is set already."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(after_s, self._fire)
            self.is_set = True

    def cancel(self) -> None:
        """Forget the time that was set."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle, self.is_set = None, False

    def _fire(self) -> None:
        self._handle, self.is_set = None, False
        self._wake()
