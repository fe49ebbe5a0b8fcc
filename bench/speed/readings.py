"""What was measured, in the order in which it was, and the table of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.speed.measures import Spread


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing under one load: the workload, its variant, and who was measured."""

    workload: str
    variant: str
    peer: str


class Readings:
    """Values by subject and measure, one for each round."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str, str], list[float]] = {}
        self.missing: dict[str, str] = {}
        """Peers that were to be measured and could not be, and why."""

        self.failed: dict[str, str] = {}
        """Workloads that broke off, and why: their readings are not all there."""
        self.others: list[float] = []
        """For each load, the part of the gateway's core that processes had which are not of the benchmark."""

    def add(self, subject: Subject, measure: str, value: float) -> None:
        """One more round's value."""
        self._values.setdefault((subject.workload, subject.variant, measure, subject.peer), []).append(value)

    def of(self, subject: Subject, measure: str) -> Spread:
        """All rounds; empty where it was not measured."""
        return Spread(tuple(self._values.get((subject.workload, subject.variant, measure, subject.peer), ())))

    def ratio(self, first: Subject, second: Subject, measure: str) -> Spread:
        """The first over the second, round by round: what slowed the machine in one round slowed both."""
        pairs = zip(self.of(first, measure).values, self.of(second, measure).values, strict=False)
        return Spread(tuple(one / other for one, other in pairs if other))

    def table(self, peers: Sequence[str]) -> list[tuple[str, ...]]:
        """A line for each workload, variant and measure, with a column for each peer; the header first."""
        measured = [peer for peer in peers if any(key[3] == peer for key in self._values)]
        lines = [("workload", "", "measure", *measured)]
        for workload, variant, measure in dict.fromkeys(key[:3] for key in self._values):
            spreads = [self.of(Subject(workload, variant, peer), measure) for peer in measured]
            lines.append((workload, variant, measure, *(str(each) if each.values else "" for each in spreads)))
        return lines


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table with even columns; the first line is its header."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])
