"""Numbers from samples."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many per cent of all do not exceed; 0 where there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """One number, measured in several rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """What counts; not a number where nothing was measured."""
        return statistics.median(self.values) if self.values else math.nan

    def __str__(self) -> str:
        """The median, with the least and the most."""
        if not self.values:
            return "none"
        return f"{number(self.median)} ({number(min(self.values))} to {number(max(self.values))})"


def number(value: float) -> str:
    """Three digits that count, and thousands apart."""
    if not math.isfinite(value):
        return "none"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"
