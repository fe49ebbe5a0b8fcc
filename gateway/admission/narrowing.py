"""How long a gate has let through less than it could. Pure."""

from collections.abc import Callable


class Narrowing:
    """A ceiling below the capacity, while there is one, and the time that there was one. In monotonic seconds."""

    def __init__(self) -> None:
        self.seats: int | None = None
        """How many may be let through; None for as many as there is capacity for."""
        self.ceiling: Callable[[], int | None] = lambda: None
        """Asked before each turn that comes out of the line: how many may be let through now; None for no news."""
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

    def is_full(self, held: int) -> bool:
        """Report whether nobody else may be let through beside so many."""
        return self.seats is not None and held >= self.seats

    def end(self, now_s: float) -> None:
        """There is none any more."""
        if self.seats is not None:
            self._past_s, self.seats = self.total_s(now_s), None

    def total_s(self, now_s: float) -> float:
        """All the time under a ceiling so far."""
        return self._past_s + (0.0 if self.seats is None else now_s - self._began_at_s)
