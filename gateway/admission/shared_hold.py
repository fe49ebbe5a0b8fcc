"""Something held for as long as any of its users needs it: the in-flight place of a request, and of the job it left."""

from collections.abc import Callable

from gateway.clock import Clock
from gateway.fairshare.quota import TenantQuota

Release = Callable[[], None]


class SharedHold:
    """Calls `release` once, when the last of its users is done. It is made with one user, whose end is `release()`."""

    __slots__ = ("_is_first_done", "_release", "_users")

    def __init__(self, release: Release) -> None:
        self._release = release
        self._users = 1
        self._is_first_done = False

    def share(self) -> Release:
        """Add a user, and return what ends its use; to call that more than once does no harm.

        After the last user's end there is nothing left to hold, and what is returned does nothing.
        """
        is_done = self._users == 0
        if not is_done:
            self._users += 1

        def release() -> None:
            nonlocal is_done
            if not is_done:
                is_done = True
                self._drop()

        return release

    def release(self) -> None:
        """End the first user's use; to call this more than once does no harm."""
        if not self._is_first_done:
            self._is_first_done = True
            self._drop()

    def _drop(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._release()


def hold_running(quota: TenantQuota, clock: Clock) -> Release:
    """Count work of a tenant that runs already as in flight, whatever its cap; return what ends that."""
    entered_at_s = clock.monotonic_s()
    quota.hold(entered_at_s)
    return SharedHold(lambda: quota.leave(clock.monotonic_s(), entered_at_s=entered_at_s)).release


def hold_in_flight(quota: TenantQuota, clock: Clock) -> SharedHold:
    """Count a request of a tenant, and hold its place among those in flight.

    Raises:
        TenantLimitError: The tenant has as many requests in flight, or in this minute, as it may have.
    """
    entered_at_s = clock.monotonic_s()
    quota.enter(entered_at_s)
    return SharedHold(lambda: quota.leave(clock.monotonic_s(), entered_at_s=entered_at_s))
