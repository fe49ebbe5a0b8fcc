"""Decide when a failed background task is restarted, and when it is given up. Times are monotonic seconds."""

PAUSE_S_FIRST = 0.1
"""Seconds before the first restart. Each further pause is twice as long, up to PAUSE_S_LAST before the last restart."""
STEADY_S = 60.0
"""Seconds after which a running task counts as working: its next failure is counted as the first one."""
FAILURES_MAX = 10
"""Number of failures in a row, none of them after STEADY_S of work, that end the process: a new process may work where
this one does not. With the pauses between them this takes at least 51 s, so that half a minute of network or store
failure ends no process."""
PAUSE_S_LAST = PAUSE_S_FIRST * 2.0 ** (FAILURES_MAX - 2)


class Restarts:
    """Count the failures of one task."""

    def __init__(self) -> None:
        self._failures = 0

    def failed(self, *, ran_s: float) -> float | None:
        """Count a failure; return the seconds until the task is restarted, or None if it is given up.

        `ran_s` is the number of seconds that it ran since its last start.
        """
        if ran_s >= STEADY_S:
            self._failures = 0
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            return None
        return PAUSE_S_FIRST * 2.0 ** (self._failures - 1)
