"""Row 14: what a decision costs. On the machine's own clock, so a little different each time."""

from collections.abc import Sequence

from bench.fairness.decision_cost import TENANTS, TICKETS, cycle_us, refreshes_per_grant, waiting_megabytes
from bench.fairness.heartbeat import CLASSES, REPLICAS, is_redis_here, own_beat_us, redis_cost
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
    return rows + _heartbeats()


_BEAT_US_MAX = 1000


def _heartbeats() -> list[Row]:
    """Four a second and replica, and up to ten while somebody waits."""
    rows = []
    for tenants in (10, 1000):
        told, bounds = "no redis-server here", []
        if is_redis_here():
            cost = redis_cost(tenants)
            told = f"{cost.at_redis_us:.0f}, {cost.round_trip_us:.0f}"
            bounds.append(Bound("at Redis", cost.at_redis_us, _BEAT_US_MAX))
        rows.append(
            Row(
                number="14, heartbeat",
                measure=f"a heartbeat of {CLASSES} classes, {REPLICAS} replicas with {tenants} tenants each:"
                " µs at Redis, there and back (p50), of the replica's CPU",
                cells={OURS: f"{told}, {own_beat_us(tenants):.0f}"},
                bounds=bounds,
            )
        )
    return rows
