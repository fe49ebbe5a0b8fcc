"""What every report is made of: lines with targets, in columns that are Markdown too."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.fairness.row import Bound

HEADER = ("measure", "seen", "target", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One measure. Without bounds it is there to be read, and cannot miss."""

    measure: str
    seen: str
    bounds: Sequence[Bound] = ()

    @property
    def is_missed(self) -> bool:
        """Whether a target is not reached."""
        return not all(bound.is_met for bound in self.bounds)

    @property
    def verdict(self) -> str:
        """In a word; nothing where there is no target."""
        if not self.bounds:
            return ""
        return "MISSED" if self.is_missed else "pass"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are even; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])


def table(lines: Sequence[Line]) -> str:
    """All lines, with what was asked of them."""
    rows = [(line.measure, line.seen, ", ".join(map(str, line.bounds)), line.verdict) for line in lines]
    return columns([HEADER, *rows])
