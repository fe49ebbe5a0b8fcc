"""Share a resource among users until the last one releases it: the place of a request and of the job it left."""

from collections.abc import Callable

from gateway.clock import Clock
from gateway.fairshare.quota import TenantQuota

Release = Callable[[], None]


class RefCountedHold:
    """Call `release` once, when the last user is done.

    It is created with one user, whose use ends with `release()`.
    """

    __slots__ = ("_is_first_done", "_release", "_users")

    def __init__(self, release: Release) -> None:
        self._release = release
        self._users = 1
        self._is_first_done = False

    def share(self) -> Release:
        """Add a user, and return the function that ends its use, which may be called more than once.

        After the end of the last user nothing is held, and the returned function does nothing.
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
        """End the use of the first user; it may be called more than once."""
        if not self._is_first_done:
            self._is_first_done = True
            self._drop()

    def _drop(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._release()


def hold_running(quota: TenantQuota, clock: Clock) -> Release:
    """Count a tenant's running work as in flight, regardless of its cap; return the function that ends that."""
    entered_at_s = clock.monotonic_s()
    quota.hold(entered_at_s)
    return RefCountedHold(lambda: quota.leave(clock.monotonic_s(), entered_at_s=entered_at_s)).release


def hold_in_flight(quota: TenantQuota, clock: Clock) -> RefCountedHold:
    """Count a request of a tenant, and hold its place in flight.

    Raises:
        TenantLimitError: The tenant has reached its cap of requests in flight or per minute.
    """
    entered_at_s = clock.monotonic_s()
    quota.enter(entered_at_s)
    return RefCountedHold(lambda: quota.leave(clock.monotonic_s(), entered_at_s=entered_at_s))
