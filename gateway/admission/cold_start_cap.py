"""Track per-tenant ceilings below the capacity of a gate, and for how long they applied. Pure."""

from collections.abc import Callable


class ColdStartCap:
    """Track a temporary ceiling on the permits of each tenant, and the total time under one, in monotonic seconds.

    The ceiling applies to each tenant and not to their sum; otherwise, failing requests of one tenant would make the
    others wait.
    """

    def __init__(self) -> None:
        self.seats: int | None = None
        """Maximum number of permits of a tenant; None if there is no ceiling."""
        self.ceiling: Callable[[], int | None] = lambda: None
        """Callback before each grant from the line: the ceiling that applies now; None for no change."""
        self.beside: Callable[[str], int] = lambda _tenant: 0
        """Callback: number of a tenant's permits that do not count, as their requests got the resource already."""
        self._began_at_s = 0.0
        self._past_s = 0.0

    def begin(self, seats: int, now_s: float) -> None:
        """Set the ceiling from now on."""
        if self.seats is None:
            self._began_at_s = now_s
        self.seats = seats

    def look(self, now_s: float) -> None:
        """Update the ceiling: it may have changed while tickets were waiting."""
        seats = self.ceiling()
        if seats is not None:
            self.begin(seats, now_s)

    def is_full(self, tenant: str, held: int) -> bool:
        """Return True if a tenant that holds `held` permits may not get another one."""
        return self.seats is not None and held >= self.seats + self.beside(tenant)

    def end(self, now_s: float) -> None:
        """Remove the ceiling."""
        if self.seats is not None:
            self._past_s, self.seats = self.total_s(now_s), None

    def total_s(self, now_s: float) -> float:
        """Return the total seconds under a ceiling so far."""
        return self._past_s + (0.0 if self.seats is None else now_s - self._began_at_s)
