"""One timer, however many wait for it."""

import asyncio
from collections.abc import Callable


class WakeTimer:
    """Calls `wake` once after the time that was set first."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Tell whether it will wake."""
        return self._handle is not None

    def set(self, after_s: float) -> None:
        """Wake after so many seconds; nothing changes where a time is set already."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(after_s, self._fire)

    def cancel(self) -> None:
        """Forget the time that was set."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._wake()
