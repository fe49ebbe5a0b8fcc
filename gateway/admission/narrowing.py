"""How long a gate has let through less than it could, and how much of each tenant. Pure."""

from collections.abc import Callable


class Narrowing:
    """A ceiling of each tenant, while there is one, and the time that there was one. In monotonic seconds.

    It is no sum of all tenants, or requests of one that come to nothing would keep the others waiting.
    """

    def __init__(self) -> None:
        self.seats: int | None = None
        """How many of a tenant may be let through; None for as many as there is capacity for."""
        self.ceiling: Callable[[], int | None] = lambda: None
        """Asked before each turn that comes out of the line: how many may be let through now; None for no news."""
        self.beside: Callable[[str], int] = lambda _tenant: 0
        """How many of a tenant's permits do not count, as what they came for has come."""
        self._began_at_s = 0.0
        self._past_s = 0.0

    def begin(self, seats: int, now_s: float) -> None:
        """There is a ceiling from now on."""
        if self.seats is None:
            self._began_at_s = now_s
        self.seats = seats

    def look(self, now_s: float) -> None:
        """Ask whether there is a ceiling by now: what those in the line came for may be gone since."""
        seats = self.ceiling()
        if seats is not None:
            self.begin(seats, now_s)

    def is_full(self, tenant: str, held: int) -> bool:
        """Report whether no other request of a tenant may be let through beside so many of its own."""
        return self.seats is not None and held >= self.seats + self.beside(tenant)

    def end(self, now_s: float) -> None:
        """There is none any more."""
        if self.seats is not None:
            self._past_s, self.seats = self.total_s(now_s), None

    def total_s(self, now_s: float) -> float:
        """All the time under a ceiling so far."""
        return self._past_s + (0.0 if self.seats is None else now_s - self._began_at_s)
