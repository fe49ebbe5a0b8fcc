"""Provide one timer for any number of waiting tickets."""

import asyncio
from collections.abc import Callable


class WakeTimer:
    """Call `wake` once, after the time that was set first."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._handle: asyncio.TimerHandle | None = None
        self.is_set = False
        """True while a call is scheduled."""

    def set(self, after_s: float) -> None:
        """Schedule the call in `after_s` seconds; do nothing if one is scheduled already."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(after_s, self._fire)
            self.is_set = True

    def cancel(self) -> None:
        """Cancel the scheduled call, if any."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle, self.is_set = None, False

    def _fire(self) -> None:
        self._handle, self.is_set = None, False
        self._wake()
