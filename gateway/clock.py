"""The only reader of the time module: everybody else is told what time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """What a driver may ask of time."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps; only differences mean something."""
        ...

    def unix_s(self) -> float:
        """Seconds since 1970, for timestamps that others read."""
        ...


class SystemClock:
    """The machine's clocks."""

    # The functions themselves: a request asks for the time often.
    monotonic_s = staticmethod(time.monotonic)
    unix_s = staticmethod(time.time)
