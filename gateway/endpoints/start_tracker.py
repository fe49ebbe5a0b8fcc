"""Track since when a worker of an endpoint has been starting or loading. Pure.

The requests that wait come and go while the same worker starts, so their ages do not show its start.
"""

from collections.abc import Mapping

import msgspec

from gateway.domain import EndpointState


class StartReport(msgspec.Struct, frozen=True, kw_only=True):
    """Describe what is known of an endpoint while a request waits for it, for error messages and SSE comments."""

    state: EndpointState
    since_s: float | None
    """Seconds since the start, or the loading, began; None if none is known to be in progress."""
    usual_s: float | None
    """Median seconds of recent starts; None before the first."""


class StartTracker:
    """Track the current start of one endpoint, if any. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._waking_since_s: float | None = None
        self._loading_since_s: float | None = None

    def on_health(self, workers: Mapping[str, int], now_s: float, *, is_taken: bool, is_waiting: bool) -> None:
        """Record a reading of /health.

        `is_taken` is True if a worker has a request without output so far, `is_waiting` if any request waits for output
        while the endpoint is not known to be warm.
        """
        has_running = workers.get("running", 0) > 0
        if has_running or not workers.get("initializing", 0):
            self._waking_since_s = None
        elif self._waking_since_s is None:
            self._waking_since_s = now_s
        if not has_running and not is_taken:
            self._loading_since_s = None
        elif self._loading_since_s is None and is_waiting:
            self._loading_since_s = now_s

    def taken(self, at_s: float) -> None:
        """Record that a worker had a request at this time."""
        if self._loading_since_s is None or at_s < self._loading_since_s:
            self._loading_since_s = at_s

    def over(self) -> None:
        """Record that a worker produced output."""
        self._waking_since_s = self._loading_since_s = None

    def since_s(self, state: EndpointState) -> float | None:
        """Return the time at which the start began; None if it was not seen."""
        return self._loading_since_s if state is EndpointState.LOADING else self._waking_since_s


def state_by_health(workers: Mapping[str, int]) -> EndpointState:
    """Return the state that the worker counts of a recent reading of /health show by themselves."""
    if workers.get("running", 0) > 0:
        return EndpointState.LOADING
    if workers.get("initializing", 0) > 0:
        return EndpointState.WAKING
    if workers.get("idle", 0) + workers.get("ready", 0) > 0:
        return EndpointState.ASLEEP
    if workers.get("throttled", 0) > 0:
        return EndpointState.THROTTLED
    return EndpointState.UNHEALTHY if workers.get("unhealthy", 0) > 0 else EndpointState.ABSENT
