"""Represent a request at a gate: a ticket while it waits, and a permit once it is granted."""

from collections.abc import Callable

from gateway.domain import Tenant


class Permit:
    """Represent one request at a gate, from ticket to release. Only its gate changes it.

    A granted permit is held until its last user has released it: a job may outlive the request that started it.
    """

    __slots__ = (
        "_give_back",
        "_on_turn",
        "_users",
        "capped_s",
        "charged",
        "granted_at_s",
        "retry_after_s",
        "returned_at_s",
        "since_s",
        "size",
        "tenant",
        "ticket_at_s",
        "wait_s_max",
    )

    def __init__(
        self,
        tenant: Tenant,
        *,
        size: int,
        now_s: float,
        give_back: "Callable[[Permit], None]",
        wait_s_max: float = 0.0,
    ) -> None:
        """Create a ticket; `give_back` is called once, when the last user has released it."""
        self._give_back = give_back
        self._users = 1
        self.tenant = tenant
        self.size = size
        """Memory held while it waits, in bytes."""
        self.ticket_at_s = now_s
        self.wait_s_max = wait_s_max
        """Maximum seconds to wait for the grant, without the time under the cold-start cap."""
        self.capped_s = 0.0
        """Total time for which its gate was narrowed before the ticket was made, in seconds."""
        self.granted_at_s: float | None = None
        self.returned_at_s: float | None = None
        self.since_s = now_s
        """Time from which its seat is charged."""
        self.charged = 0.0
        """Service charged for it in addition to its seat."""
        self.retry_after_s: float | None = None
        """Predicted seconds until a retry could be granted, if it was evicted from the queue."""
        self._on_turn: Callable[[], object] | None = None

    @property
    def wait_s(self) -> float:
        """Return the seconds between ticket and grant; zero if it is not granted."""
        return 0.0 if self.granted_at_s is None else self.granted_at_s - self.ticket_at_s

    @property
    def is_waiting(self) -> bool:
        """Return True if it is neither granted nor evicted."""
        return self.granted_at_s is None and self.retry_after_s is None

    def grant(self, now_s: float) -> None:
        """Mark it as granted, and notify its subscriber."""
        self.granted_at_s = self.since_s = now_s
        self._notify()

    def evict(self, retry_after_s: float) -> None:
        """Mark it as evicted from the queue, and notify its subscriber."""
        self.retry_after_s = retry_after_s
        self._notify()

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call back once, when it is granted or evicted.

        The gate calls back while it works on other permits: the callback may only schedule further work.
        """
        self._on_turn = callback

    def _notify(self) -> None:
        callback, self._on_turn = self._on_turn, None
        if callback is not None:
            callback()

    def keep(self) -> Callable[[], None]:
        """Add a user; return the function that ends its use, of which only the first call counts.

        After the end of the last user nothing is held, and the returned function does nothing.
        """
        is_kept = self._users > 0
        self._users += is_kept

        def release() -> None:
            nonlocal is_kept
            if is_kept:
                is_kept = False
                self.release()

        return release

    def release(self) -> None:
        """End the use of one user."""
        self._users -= 1
        if not self._users:
            self._give_back(self)
