"""Provide the time. Only this module uses `time`; others take a `Clock` or the time as an argument."""

import time
from typing import Protocol


class Clock(Protocol):
    """Define a source of time."""

    def monotonic_s(self) -> float:
        """Return monotonic seconds; only differences are meaningful."""
        ...

    def unix_s(self) -> float:
        """Return Unix seconds, for timestamps that leave the process."""
        ...


class SystemClock:
    """Read the system's clocks."""

    # Not wrapped in methods, because a request reads the time often.
    monotonic_s = staticmethod(time.monotonic)
    unix_s = staticmethod(time.time)
