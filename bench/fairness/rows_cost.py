"""Row 14: what a decision costs. On the machine's own clock, so a little different each time."""

from collections.abc import Sequence

from bench.fairness.decision_cost import TENANTS, TICKETS, cycle_us, refreshes_per_grant, waiting_megabytes
from bench.fairness.orders import OURS
from bench.fairness.row import Bound, Row


def decision_cost() -> Sequence[Row]:
    """Time, keys that are read in vain, and memory."""
    rows = []
    for tenants in TENANTS:
        spent_us, refreshes = cycle_us(tenants), refreshes_per_grant(tenants)
        rows.append(
            Row(
                number="14",
                measure=f"enqueue, grant and release with {tenants} tenants: µs of CPU, refreshes a grant",
                cells={OURS: f"{spent_us:.1f}, {refreshes:.2f}"},
                bounds=(Bound("µs", spent_us, 20), Bound("refreshes", refreshes, 2)),
                published="vLLM's fair queue 80 to 150 µs",
            )
        )
    megabytes = waiting_megabytes()
    rows.append(
        Row(
            number="14, memory",
            measure=f"{TICKETS} waiting tickets: MB",
            cells={OURS: f"{megabytes:.1f}"},
            bounds=(Bound("", megabytes, 100),),
        )
    )
    return rows
