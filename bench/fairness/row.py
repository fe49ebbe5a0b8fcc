"""One line of the table: what was measured under each order, and what ours has to reach."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """A target for one number of ours."""

    name: str
    value: float
    limit: float
    is_lower: bool = False
    """The number has to be at least, not at most, so large."""

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.limit if self.is_lower else self.value <= self.limit

    def __str__(self) -> str:
        return f"{self.name} {'≥' if self.is_lower else '≤'} {self.limit:g}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measure under each order. Without bounds it is there to be compared with, and cannot miss."""

    number: str
    measure: str
    cells: Mapping[str, str]
    bounds: Sequence[Bound] = ()
    published: str = ""
    """What others report, on their machines."""

    @property
    def missed(self) -> list[Bound]:
        """The targets that are not reached."""
        return [bound for bound in self.bounds if not bound.is_met]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number of the table, and what makes its rows."""

    number: str
    rows: Callable[[], Sequence[Row]]
