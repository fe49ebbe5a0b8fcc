"""How fair a run was. Service and its difference are measured as Sheng et al. (OSDI 2024) do in their artifact."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance

from bench.fairness.machine import Run, Start, busy_seats

WINDOW_S = 60.0
WARM_UP_S = 30.0
POINTS = 20
SPAN_S = 600.0


def window_starts(span_s: float = SPAN_S) -> list[float]:
    """The 19 points of the artifact: its first one is left out, and windows are counted from the warm-up on."""
    return [(span_s - WARM_UP_S) / POINTS * point for point in range(1, POINTS)]


def service_between(starts: Iterable[Start], from_s: float, to_s: float) -> dict[str, float]:
    """What each tenant was served, in token cost: evenly over the time that a request holds its seat."""
    service: defaultdict[str, float] = defaultdict(float)
    for start in starts:
        overlap_s = min(to_s, start.end_s) - max(from_s, start.start_s)
        if overlap_s > 0:
            service[start.request.tenant] += start.request.cost * overlap_s / start.request.hold_s
    return service


def demand_between(run: Run, from_s: float, to_s: float) -> dict[str, float]:
    """What each tenant asked for, in token cost."""
    demand: defaultdict[str, float] = defaultdict(float)
    for request in itertools.chain((start.request for start in run.starts), run.unserved):
        if from_s <= request.arrival_s <= to_s:
            demand[request.tenant] += request.cost
    return demand


@dataclass(frozen=True, slots=True)
class Difference:
    """The service difference over all windows, in token cost a second."""

    largest: float
    mean: float
    variance: float


def service_difference(run: Run, span_s: float = SPAN_S) -> Difference:
    """How much less than the best served one the others got, as far as they had asked for it; summed over them."""
    sums = []
    for from_s in window_starts(span_s):
        service = service_between(run.starts, from_s, from_s + WINDOW_S)
        demand = demand_between(run, from_s, from_s + WINDOW_S)
        most = max(service.values(), default=0.0)
        sums.append(
            sum(min(most - service[name], abs(demand[name] - service[name])) for name in run.tenants) / WINDOW_S
        )
    return Difference(max(sums), fmean(sums), pvariance(sums))


def accumulated_gap(run: Run, span_s: float = SPAN_S) -> float:
    """The largest distance between two tenants' service since the warm-up, in token cost."""
    gaps = []
    for to_s in window_starts(span_s):
        service = service_between(run.starts, WARM_UP_S, to_s + WARM_UP_S)
        each = [service[tenant] for tenant in run.tenants]
        gaps.append(max(each) - min(each))
    return max(gaps)


def normalised_gap(starts: Sequence[Start], weights: Mapping[str, float]) -> float:
    """The largest distance at any time between two tenants' seat-seconds by weight, in longest requests.

    For tenants that always wait and began together. Between two events everything grows evenly, so events suffice.
    """
    changes = sorted(
        itertools.chain.from_iterable(
            ((each.start_s, 1, each.request.tenant), (each.end_s, -1, each.request.tenant)) for each in starts
        )
    )
    longest_s = max(each.request.hold_s for each in starts)
    last_start_s = max(each.start_s for each in starts)
    held = dict.fromkeys(weights, 0)
    attained = dict.fromkeys(weights, 0.0)
    gap, before_s = 0.0, changes[0][0]
    for at_s, change, tenant in changes:
        if at_s > last_start_s:
            break
        if at_s > before_s:
            for name, seats in held.items():
                attained[name] += seats * (at_s - before_s) / weights[name]
            gap = max(gap, max(attained.values()) - min(attained.values()))
            before_s = at_s
        held[tenant] += change
    return gap * min(weights.values()) / longest_s


def jain(shares: Sequence[float]) -> float:
    """Jain's index: one if all are equal, 1/n if one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def waiting_times(run: Run) -> dict[str, list[tuple[float, float]]]:
    """From when to when each tenant had at least one request waiting."""
    spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    every = [(each.request.arrival_s, each.start_s, each.request.tenant) for each in run.starts]
    every += [(each.arrival_s, math.inf, each.tenant) for each in run.unserved]
    for from_s, to_s, tenant in sorted(every):
        mine = spans[tenant]
        if mine and from_s <= mine[-1][1]:
            mine[-1] = (mine[-1][0], max(mine[-1][1], to_s))
        elif to_s > from_s:
            mine.append((from_s, to_s))
    return spans


def jain_of_backlogged(run: Run, span_s: float = SPAN_S) -> list[float]:
    """Jain's index of service by weight among those who waited all through a window; windows of one are left out."""
    spans = waiting_times(run)
    indices = []
    for from_s in window_starts(span_s):
        to_s = from_s + WINDOW_S
        service = service_between(run.starts, from_s, to_s)
        backlogged = [name for name in run.tenants if any(a <= from_s and to_s <= b for a, b in spans[name])]
        if len(backlogged) > 1:
            indices.append(jain([service[name] / run.weights.get(name, 1.0) for name in backlogged]))
    return indices


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)]


def throughput(run: Run) -> float:
    """Tokens a second until the last request has ended."""
    tokens = sum(each.request.input_tokens + each.request.output_tokens for each in run.starts)
    return tokens / max(each.end_s for each in run.starts)


def utilisation(run: Run, from_s: float, to_s: float) -> float:
    """The seat-seconds that were used of those that could have been: all seats, or as many as were asked for."""
    changes = [(at_s, held, 0) for at_s, held in busy_seats(run)]
    waits = [(each.request.arrival_s, each.start_s) for each in run.starts if each.wait_s > 0]
    waits += [(each.arrival_s, math.inf) for each in run.unserved]
    changes += [(from_s, -1, 1) for from_s, _ in waits] + [(to_s, -1, -1) for _, to_s in waits]
    changes.sort(key=lambda each: each[0])
    used = wanted = 0.0
    held = waiting = 0
    before_s = from_s
    for at_s, new_held, more_waiting in changes:
        now_s = min(max(at_s, from_s), to_s)
        used += held * (now_s - before_s)
        wanted += min(run.seats, held + waiting) * (now_s - before_s)
        before_s = now_s
        held = new_held if new_held >= 0 else held
        waiting += more_waiting
    return used / wanted if wanted else 1.0


def seat_seconds(starts: Iterable[Start], from_s: float, to_s: float) -> dict[str, float]:
    """The time each tenant held seats."""
    held: defaultdict[str, float] = defaultdict(float)
    for start in starts:
        held[start.request.tenant] += max(0.0, min(to_s, start.end_s) - max(from_s, start.start_s))
    return held
