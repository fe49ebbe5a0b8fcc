"""Determine when workers started with relayed requests, from output and the number of running workers."""

from collections.abc import Callable

from gateway.endpoints.gpu_time import AttemptTime
from gateway.endpoints.worker_state import Activity
from gateway.errors import GatewayError, UnreachableError, UpstreamBusyError, UpstreamConfigError


def never_sent(error: GatewayError) -> bool:
    """Return True if a relayed request reached no worker: no connection was made, or Runpod rejected it."""
    if isinstance(error, UnreachableError):
        return not error.was_sent
    return isinstance(error, UpstreamBusyError | UpstreamConfigError)


class RelayTimes:
    """Track the relayed requests of one endpoint, until a worker is known to have started with them."""

    def __init__(self) -> None:
        self._waiting: dict[AttemptTime, bool] = {}
        """Requests that no worker is known to have; True if seen to wait for a worker."""
        self._tells: dict[AttemptTime, Callable[[bool], None]] = {}

    @property
    def are_waiting(self) -> bool:
        """Return True if there are any such requests."""
        return bool(self._waiting)

    def open(
        self, time: AttemptTime, activity: Activity, tell: Callable[[bool], None] = lambda _has_begun: None
    ) -> None:
        """Track a request that is about to be sent. If a worker was seen at work just before, it starts now.

        `tell` is called with True if workers run, at each reading of /health until its first output.
        """
        self._tells[time] = tell
        if activity.is_surely_warm:
            time.started()
        else:
            self._waiting[time] = False

    def on_health(self, *, has_workers: bool | None) -> None:
        """Record whether workers run, by a reading of /health; None if not known.

        If not known, the requests are assumed to wait: otherwise the settlement of all other attempts would be delayed.
        """
        for time in tuple(self._waiting):
            if has_workers:
                del self._waiting[time]
                time.started()
            else:
                self._waiting[time] = True
                time.queued()
        if has_workers is not None:
            for tell in tuple(self._tells.values()):
                tell(has_workers)

    def heard(self, time: AttemptTime) -> None:
        """Record that a worker has it: since it was last seen to wait, or since it was sent."""
        self._tells.pop(time, None)
        if self._waiting.pop(time, None) is not None:
            time.started()

    def leave(self, time: AttemptTime) -> None:
        """Record that a request ended and its job may run on; its start is still tracked."""
        self._tells.pop(time, None)

    def close(self, time: AttemptTime) -> None:
        """Record that it ended. If it was never seen to wait, a worker may have had it, and it counts as started."""
        self._tells.pop(time, None)
        if self._waiting.pop(time, True) is False:
            time.started()
