"""Rows 5.1 and 9 to 11: limits on rates, and the scenarios of Doorman, Kubernetes and trigger.dev."""

from collections.abc import Sequence

from bench.fairness import closed_loop, concurrency_keys
from bench.fairness.allocation import CASES, RANDOM_CASES, largest_error, random_cases
from bench.fairness.call_rate import LIMIT, RATES, call_runs
from bench.fairness.measures import percentile
from bench.fairness.orders import FIFO, OURS
from bench.fairness.row import Bound, Row


def call_rate() -> Sequence[Row]:
    """Calls of which so many may be made in ten seconds."""
    cells = {}
    for order, run in call_runs().items():
        p50, p99 = (percentile(run.polite_waits_s, percent) for percent in (50, 99))
        cells[order] = f"{p50:.3g} / {p99:.3g}, {run.use:.3f}"
    ours = call_runs()[OURS]
    return [
        Row(
            number="9",
            measure=f"{RATES['polite']:.0f} calls a second beside {RATES['flood']:.0f}, {LIMIT.per_10s} per 10 s"
            " and paced: wait, s, p50 / p99; use",
            cells=cells,
            bounds=(
                Bound("p99", percentile(ours.polite_waits_s, 99), 0.05),
                Bound("use", ours.use, 0.95, is_lower=True),
                Bound("calls in any 10 s", ours.most_in_a_window, LIMIT.per_10s),
            ),
        )
    ]


def closed_loops() -> Sequence[Row]:
    """How far the mean of seats held is from max-min fairness."""
    rows = []
    for name, scenario in closed_loop.SCENARIOS.items():
        found = closed_loop.errors(scenario)
        rows.append(
            Row(
                number="10",
                measure=f"Kubernetes APF `{name}`: furthest from the fair mean of seats",
                cells={order: ", then ".join(f"{each:.2%}" for each in errors) for order, errors in found.items()},
                bounds=(Bound("", max(found[OURS]), 0.001),),
                published="allows itself " + scenario.published,
            )
        )
    return rows


_WAIT_MS_MAX = {"ckSkew": 10.0, "ckTrickle": 14.0, "ckSybil, ten keys of one tenant": 15.0}
_MAKESPAN_MAX = 1.01


def keys_that_flood() -> Sequence[Row]:
    """How long a key with little to do waits."""
    rows = []
    for name, scenario in concurrency_keys.SCENARIOS.items():
        results = concurrency_keys.key_results(name)
        ours = results[OURS]
        bounds = [Bound("makespan of FIFO's", ours.makespan_ms / results[FIFO].makespan_ms, _MAKESPAN_MAX)]
        if name in _WAIT_MS_MAX:
            bounds.append(Bound("wait", ours.wait_ms, _WAIT_MS_MAX[name]))
        rows.append(
            Row(
                number="11",
                measure=f"trigger.dev `{name}`: wait of `{scenario.watched}`, makespan, ms",
                cells={order: f"{each.wait_ms:.1f}, {each.makespan_ms:.0f}" for order, each in results.items()},
                bounds=bounds,
                published=scenario.published,
            )
        )
    return rows


def allocation() -> Sequence[Row]:
    """A capacity divided at once: no order, and so one column only."""
    error = max(map(largest_error, CASES))
    found = random_cases()
    return [
        Row(
            number="5.1",
            measure=f"Doorman's {len(CASES)} tables: furthest from what a client should get",
            cells={OURS: f"{error:.3f}"},
            bounds=(Bound("", error, 0.005),),
        ),
        Row(
            number="5.1",
            measure=f"{RANDOM_CASES} random cases of 3 to 12 clients: furthest from the laws of max-min fairness",
            cells={OURS: f"{found.worst_unfairness:.1e}"},
            bounds=(Bound("", found.worst_unfairness, 1e-6),),
            published=f"Doorman's two rounds: other in {found.doorman_differs:.1%}, up to {found.doorman_idle:.1f}"
            " of 120 left idle",
        ),
    ]
