"""Rows 7 and 8: how long polite tenants wait beside a flood."""

from collections.abc import Sequence

from bench.fairness.flood import CASES, FLOOD_FROM_S, flood_runs, victims_waits_s
from bench.fairness.measures import percentile, utilisation
from bench.fairness.orders import FIFO, OURS
from bench.fairness.row import Bound, Row


def _rows(number: str, name: str, limits: dict[str, float], published: str = "") -> list[Row]:
    case = CASES[name]
    cells, numbers = {}, {}
    for order, runs in flood_runs(name).items():
        waits_s = [wait_s for run in runs for wait_s in victims_waits_s(name, run)]
        p50, p99, longest = percentile(waits_s, 50), percentile(waits_s, 99), max(waits_s)
        used = sum(utilisation(run, FLOOD_FROM_S, case.ends_s) for run in runs) / len(runs)
        cells[order] = f"{_brief(p50)} / {_brief(p99)} / {_brief(longest)}, {used:.4f}"
        numbers[order] = {"p99": p99, "max": longest, "use": used}
    ours = numbers[OURS]
    bounds = [Bound(key, ours[key], limit) for key, limit in limits.items()]
    if limits:
        bounds.append(Bound("use of FIFO's", ours["use"] / numbers[FIFO]["use"], 0.999, is_lower=True))
    what = "the others' wait, s, p50 / p99 / max; use"
    measure = f"{name}, {case.seats} seats, beside a flood: {what}"
    return [Row(number=number, measure=measure, cells=cells, bounds=bounds, published=published)]


def _brief(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def flood() -> Sequence[Row]:
    """Requests of 12 s in the mean; many seats, where one comes free every 30 ms."""
    return _rows("7", "2 tenants", {"p99": 0.25, "max": 0.5}) + _rows("7, crowded", "10 tenants at 90 %", {})


def short_beside_long() -> Sequence[Row]:
    """Requests of one second beside requests of a minute."""
    name = "1 s beside 60 s"
    return _rows("8", name, {"p99": 0.8}) + _rows("8, in step", f"{name} in step", {})


def few_seats() -> Sequence[Row]:
    """So few seats that the next one to come free is more than a second away."""
    return _rows("7, few", "few seats", {})
