"""Rows 1 to 6: the workloads of Sheng et al. (OSDI 2024), measured as they do."""

import functools
from collections.abc import Callable, Sequence
from statistics import fmean, pstdev

from numpy.random import RandomState

from bench.fairness.machine import Request, Run, simulate
from bench.fairness.measures import (
    Difference,
    accumulated_gap,
    jain_of_backlogged,
    percentile,
    service_difference,
    throughput,
)
from bench.fairness.orders import FIFO, ORDER_NAMES, OURS, seat_orders
from bench.fairness.rest_gap import CASES, largest_gaps
from bench.fairness.row import Bound, Row
from bench.fairness.workloads import NAMES, workload

SHAKEN_COPIES = 20
SHAKEN_ARRIVAL_S = 0.2
SHAKEN_HOLD = 0.01


@functools.cache
def runs(name: str) -> dict[str, Run]:
    """One run of a workload under each order, until everything is served."""
    given = workload(name)
    orders = seat_orders(given.seats, lambda ticket: given.requests[ticket].prompt_cost_s)
    return {
        order: simulate(fresh, given.requests, seats=given.seats, weights=given.weights)
        for order, fresh in orders.items()
    }


def _each(name: str, show: Callable[[Run], str]) -> dict[str, str]:
    return {order: show(run) for order, run in runs(name).items()}


def _largest_and_mean(run: Run) -> str:
    difference = service_difference(run)
    return f"{difference.largest:.1f} / {difference.mean:.1f}"


def _difference_row(number: str, name: str, limits: tuple[float, float], published: str) -> Row:
    ours = service_difference(runs(name)[OURS])
    return Row(
        number=number,
        measure=f"VTC `{name}`: service difference a second, max / mean",
        cells=_each(name, _largest_and_mean),
        bounds=(Bound("max", ours.largest, limits[0]), Bound("mean", ours.mean, limits[1])),
        published=published,
    )


def overload() -> Sequence[Row]:
    """Two clients that both want more than their half."""
    return [_difference_row("1", "overload", (20, 10), "VTC 192.9 / 103.8, oracle 5.9 / 0.5, FCFS 447.4 / 439.0")]


def overload_multi() -> Sequence[Row]:
    """Eight clients that all want more than their eighth."""
    published = "VTC 322.2 / 162.2, oracle 43.2 / 36.3, FCFS 247.9 / 230.8"
    return [_difference_row("2", "overload-multi", (60, 45), published)]


def real_trace() -> Sequence[Row]:
    """What came to a public chat service, and copies of it with every time a little off."""

    def show(run: Run) -> str:
        difference = service_difference(run)
        return f"{difference.largest:.0f} / {difference.mean:.0f} / {difference.variance:.0f}, {throughput(run):.0f}/s"

    ours, fifo = runs("real")[OURS], runs("real")[FIFO]
    difference = service_difference(ours)
    return [
        Row(
            number="3",
            measure="VTC `real`, 27 clients: max / mean / variance, tokens a second",
            cells=_each("real", show),
            bounds=(
                Bound("max", difference.largest, 280),
                Bound("mean", difference.mean, 200),
                Bound("variance", difference.variance, 3000),
                Bound("throughput of FIFO's", throughput(ours) / throughput(fifo), 0.99, is_lower=True),
            ),
            published="VTC 368 / 252 / 6549, 779/s; oracle 329 / 228 / 4476, 781/s; FCFS 760 / 434 / 32112, 777/s",
        ),
        Row(
            number="3 shaken",
            measure=f"the same, mean and deviation over {SHAKEN_COPIES} copies with arrivals off by up to"
            f" {SHAKEN_ARRIVAL_S} s and holds by up to {SHAKEN_HOLD:.0%}",
            cells={order: _spread(all_of_it) for order, all_of_it in _shaken_differences().items()},
        ),
    ]


def _spread(differences: Sequence[Difference]) -> str:
    columns = zip(*((each.largest, each.mean, each.variance) for each in differences), strict=True)
    return " / ".join(f"{fmean(column):.0f}±{pstdev(column):.0f}" for column in map(list, columns))


def _shaken_differences() -> dict[str, list[Difference]]:
    given = workload("real")
    differences: dict[str, list[Difference]] = {order: [] for order in ORDER_NAMES}
    for seed in range(SHAKEN_COPIES):
        chance = RandomState(seed)
        requests = [_shaken(request, chance) for request in given.requests]
        prompt_costs_s = [request.prompt_cost_s for request in requests]
        for order, fresh in seat_orders(given.seats, prompt_costs_s.__getitem__).items():
            differences[order].append(service_difference(simulate(fresh, requests, seats=given.seats)))
    return differences


def _shaken(request: Request, chance: RandomState) -> Request:
    return Request(
        request.arrival_s + SHAKEN_ARRIVAL_S * chance.rand(),
        request.tenant,
        request.hold_s * (1 + SHAKEN_HOLD * (2 * chance.rand() - 1)),
        request.input_tokens,
        request.output_tokens,
    )


def jain_index() -> Sequence[Row]:
    """Who waits all through a minute gets as much as whoever else does, by weight."""

    def show(run: Run) -> str:
        indices = jain_of_backlogged(run)
        return f"{fmean(indices):.4f} / {min(indices):.4f}"

    published = {
        "overload": "VTC 0.9910 / 0.9795, FCFS 0.8997",
        "overload-multi": "VTC 0.9921, FCFS 0.9667",
        "overload-weighted": "weighted VTC 1.0000",
        "on_off_overload": "",
        "poisson_short_long": "",
    }
    rows = []
    for name, reported in published.items():
        ours = jain_of_backlogged(runs(name)[OURS])
        rows.append(
            Row(
                number="4",
                measure=f"Jain's index per 60 s of who waits, `{name}`, mean / min",
                cells=_each(name, show),
                bounds=(
                    Bound("mean", fmean(ours), 0.999, is_lower=True),
                    Bound("min", min(ours), 0.995, is_lower=True),
                ),
                published=reported,
            )
        )
    return rows


def gap_in_tokens() -> Sequence[Row]:
    """What two clients that always wait got, from the first half minute on."""
    at_rest = largest_gaps()
    return [
        Row(
            number="5",
            measure="VTC `overload`: largest distance of accumulated service (a request is 768)",
            cells=_each("overload", lambda run: f"{accumulated_gap(run):.0f}"),
            bounds=(Bound("", accumulated_gap(runs("overload")[OURS]), 1500),),
            published="VTC 9050, oracle 377, FCFS 237738",
        ),
        Row(
            number="5",
            measure=f"the same in longest requests by the least weight, for all who wait from rest, {CASES} mixtures",
            cells={order: f"{gap:.2f}" for order, gap in at_rest.items()},
            bounds=(Bound("", at_rest[OURS], 1.1),),
        ),
    ]


_IN_SHARE = {
    # Workload: the clients that ask for less than their share, targets of mean and p99, what was reported.
    "proportional": ("01", (0.6, 2.5), "VTC 4.8 / 10.5, FCFS 97 / 197"),
    "on_off_less": ("0", (1.0, 4.0), "VTC 3.5 / 8.4, FCFS 85 / 175"),
    "increase": ("0", None, "VTC 0.35 / 0.71, FCFS 7.2 / 48"),
}


def isolation() -> Sequence[Row]:
    """How long clients wait that ask for less than their share."""
    rows = []
    for name, (clients, limits, reported) in _IN_SHARE.items():
        waits_s = {order: run.waits_s(clients) for order, run in runs(name).items()}
        ours = (fmean(waits_s[OURS]), percentile(waits_s[OURS], 99))
        rows.append(
            Row(
                number="6",
                measure=f"VTC `{name}`: wait of who is in its share, s, mean / p99",
                cells={order: f"{fmean(each):.2f} / {percentile(each, 99):.2f}" for order, each in waits_s.items()},
                bounds=(Bound("mean", ours[0], limits[0]), Bound("p99", ours[1], limits[1])) if limits else (),
                published=reported + " to the first token",
            )
        )
    return rows


def other_workloads() -> Sequence[Row]:
    """The rest of the artifact's workloads; where weights differ or a client asks for little, see rows 4 and 6."""
    shown = {"overload", "overload-multi", "overload-weighted", "real"}
    return [
        Row(
            number="1 to 3, rest",
            measure=f"VTC `{name}`: service difference a second, max / mean",
            cells=_each(name, _largest_and_mean),
        )
        for name in NAMES
        if name not in shown
    ]
