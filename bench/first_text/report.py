"""The figures as a table, against their targets."""

from dataclasses import dataclass

from bench.first_text.run import Measured
from bench.first_text.streams import Stream

FIRST_TEXT_MAX = 1.2
"""Times the endpoint's own, at the default of 64 jobs in flight."""
NEWCOMER_S_MAX = 0.3
POLLS_PER_S = 196
"""What the gateway uses of the 2,000 polls in 10 s that Runpod allows."""
GAP_MAX = 1.05
"""Times what that budget allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure, and the most that it may be."""

    name: str
    value: float
    maximum: float

    @property
    def is_missed(self) -> bool:
        """Report whether the target is missed."""
        return self.value > self.maximum


def median(values: list[float]) -> float:
    """Return the middle one; infinity for none."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else float("inf")


def first_texts(streams: list[Stream]) -> list[float]:
    """Return when each stream had text; infinity for one that never had."""
    return [float("inf") if each.first_text_s is None else each.first_text_s for each in streams]


def lines(measured: Measured) -> list[Line]:
    """Return the figures of one load."""
    count = measured.load.streams
    refused = sum(each.status != 200 for each in [*measured.streams, *measured.newcomers])
    found = [Line(name=f"{count} streams: refused", value=refused, maximum=0)]
    if not measured.newcomers:
        ratio = median(first_texts(measured.streams)) / median(measured.upstream_s)
        found.append(
            Line(name=f"{count} streams: first text over the endpoint's own", value=ratio, maximum=FIRST_TEXT_MAX)
        )
        return found
    latest_s = max(first_texts(measured.newcomers))
    gap_s = median([gap for each in measured.streams for gap in each.gaps_s])
    allowed_s = (count + measured.load.newcomers) / POLLS_PER_S
    return [
        *found,
        Line(name=f"{count} streams: slowest first text of newcomers, s", value=latest_s, maximum=NEWCOMER_S_MAX),
        Line(name=f"{count} streams: gap over what the poll budget allows", value=gap_s / allowed_s, maximum=GAP_MAX),
    ]


def report(all_lines: list[Line]) -> str:
    """Return the table."""
    rows = [
        f"| {line.name} | {line.value:.2f} | {line.maximum:g} | {'missed' if line.is_missed else 'held'} |"
        for line in all_lines
    ]
    head = "# Time to first text on the job route\n\nThe emulator enforces Runpod's published limits.\n\n"
    return head + "| what | measured | at most | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
