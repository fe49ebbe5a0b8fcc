"""When workers began with relayed requests, of which only bytes and the number of running workers are seen."""

from collections.abc import Callable

from gateway.errors import GatewayError, UnreachableError, UpstreamBusyError, UpstreamConfigError
from gateway.exchange.endpoint_state import Activity
from gateway.exchange.gpu_time import AttemptTime


def never_sent(error: GatewayError | None) -> bool:
    """Tell whether a relayed request surely reached no worker: no connection was made, or Runpod turned it away."""
    if isinstance(error, UnreachableError):
        return not error.was_sent
    return isinstance(error, UpstreamBusyError | UpstreamConfigError)


class RelayTimes:
    """The relayed requests of one endpoint that no worker is known to have begun with."""

    def __init__(self) -> None:
        self._waiting: dict[AttemptTime, bool] = {}
        """With whether each was seen to wait for a worker."""
        self._tells: dict[AttemptTime, Callable[[bool], None]] = {}

    @property
    def are_waiting(self) -> bool:
        """Report whether there are any."""
        return bool(self._waiting)

    def open(
        self, time: AttemptTime, activity: Activity, tell: Callable[[bool], None] = lambda _has_begun: None
    ) -> None:
        """Follow a request that is about to be sent. Where a worker was seen at work, its time begins now.

        `tell` is told whether workers run, by each look at /health until its first byte.
        """
        self._tells[time] = tell
        if activity.is_surely_warm:
            time.started()
        else:
            self._waiting[time] = False

    def looked(self, *, has_workers: bool | None) -> None:
        """Note whether workers run, by a look at /health; None if that is not known.

        Unknown, they are taken to wait, as the accounts of all other attempts would have to wait for them.
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
        """Note that a worker has it: since it was last seen to wait, or since it was sent."""
        self._tells.pop(time, None)
        if self._waiting.pop(time, None) is not None:
            time.started()

    def leave(self, time: AttemptTime) -> None:
        """Note that a request is over and its job may run on; its start is still looked for."""
        self._tells.pop(time, None)

    def close(self, time: AttemptTime) -> None:
        """Note that it is over, or that its client has left. Nobody saw it wait: then a worker may have had it."""
        self._tells.pop(time, None)
        if self._waiting.pop(time, True) is False:
            time.started()
