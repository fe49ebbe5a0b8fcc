"""Decide when a background task that failed runs again, and when it is given up. Times are monotonic seconds."""

PAUSE_S_FIRST = 0.1
"""Each further one is twice as long, the last one PAUSE_S_LAST: FAILURES_MAX bounds them."""
STEADY_S = 60.0
"""The time after which a running task counts as working: its next failure is counted as the first one."""
FAILURES_MAX = 10
"""The number of failures in a row, none of them after STEADY_S of work, that end the process: a new process may be able
to do what this one cannot. With the pauses between them that takes 51 s at least, so that a fault of the network or of
the store that lasts for half a minute ends no process."""
PAUSE_S_LAST = PAUSE_S_FIRST * 2.0 ** (FAILURES_MAX - 2)


class Restarts:
    """Count the failures of one task."""

    def __init__(self) -> None:
        self._failures = 0

    def failed(self, *, ran_s: float) -> float | None:
        """Return the seconds after which a task that failed runs again; None where it is given up.

        `ran_s` is how long it ran since its last start.
        """
        if ran_s >= STEADY_S:
            self._failures = 0
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            return None
        return PAUSE_S_FIRST * 2.0 ** (self._failures - 1)
