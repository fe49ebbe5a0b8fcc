"""The table, as text that is Markdown too."""

import platform
from collections.abc import Mapping, Sequence

from bench.fairness.orders import ATTAINED_ONLY, FIFO, ORDER_NAMES, OURS, ROUND_ROBIN, VTC
from bench.fairness.row import Bound, Row

HEADER = ("#", "measure", *ORDER_NAMES, "target", "", "published elsewhere")
LEGEND = f"""\
`{FIFO}`: one queue. `{ROUND_ROBIN}`: one request of each tenant in turn. `{VTC}`: the virtual token counter of Sheng et
al., which is told the prompt when a request is granted and counts output tokens. `{ATTAINED_ONLY}`: the same idea on
seconds of a seat, which is ours without the seats held right now. `{OURS}`: `gateway.fairshare.fair_queue.FairQueue`
as the gateway runs it. All on one simulated server with a virtual clock and fixed seeds, so compare within a line; what
others published was measured on their own machines."""

Reasons = Mapping[tuple[str, str], str]


def unaccepted(rows: Sequence[Row], accepted: Reasons) -> list[tuple[Row, Bound]]:
    """The targets that are missed without leave."""
    return [(row, bound) for row in rows for bound in row.missed if (row.number, bound.name) not in accepted]


def table(rows: Sequence[Row], accepted: Reasons) -> str:
    """All rows, in columns."""
    lines = [HEADER, *(_cells(row, accepted) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    padded = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])


def _cells(row: Row, accepted: Reasons) -> tuple[str, ...]:
    orders = [row.cells.get(order, "") for order in ORDER_NAMES]
    target = ", ".join(map(str, row.bounds))
    return (row.number, row.measure, *orders, target, _verdict(row, accepted), row.published)


def _verdict(row: Row, accepted: Reasons) -> str:
    if not row.bounds:
        return ""
    if unaccepted([row], accepted):
        return "MISSED"
    return "accepted" if row.missed else "pass"


def misses(rows: Sequence[Row], accepted: Reasons) -> str:
    """What was missed, by how much, and why that is accepted if it is."""
    lines = []
    for row in rows:
        for bound in row.missed:
            reason = accepted.get((row.number, bound.name), "not accepted")
            lines.append(f"- {row.number}, {row.measure}: {bound} is missed with {bound.value:.4g}. {reason}")
    return "\n".join(lines) or "None."


def report(rows: Sequence[Row], accepted: Reasons, not_measured: Sequence[str]) -> str:
    """The whole of it."""
    machine = f"Python {platform.python_version()}, {platform.machine()}"
    return f"""\
# Fairness, measured

{LEGEND}

{table(rows, accepted)}

## Targets missed

{misses(rows, accepted)}

## Not measured here

{"".join(f"- {each}{chr(10)}" for each in not_measured)}
Row 14 reads the clock of the machine it ran on ({machine}); all others come out the same every time.
"""
