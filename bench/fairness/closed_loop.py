"""The fairness scenarios of Kubernetes' API Priority and Fairness, as its queueset_test.go has them.

Clients are threads that ask, hold a seat, think, and ask again. Each client should hold as many seats in the mean as
max-min fairness gives it. Scenarios whose requests take several seats are left out: ours take one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.fairness.machine import Request, Run, simulate
from bench.fairness.measures import seat_seconds
from bench.fairness.orders import seat_orders
from gateway.fairshare.allocator import water_fill

QUARTER_S = 91 * 24 * 3600.0
A_BIT_LESS_S = -1e-9
"""They ask again a nanosecond early, so that they are there when their seat comes free."""


@dataclass(frozen=True, slots=True)
class Client:
    """So many threads, each with so many calls."""

    threads: int
    calls: int
    hold_s: float
    think_s: float
    is_split: bool = False
    """Half of its threads begin in the second half only, with half of the calls."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who asks for what, and how far from fair Kubernetes allows itself to be."""

    seats: int
    clients: Sequence[Client]
    duration_s: float
    published: str


_EARLY = 1 + A_BIT_LESS_S
SCENARIOS: dict[str, Scenario] = {
    "Baseline": Scenario(1, [Client(1, 21, 1, 0)], 20, "0 %"),
    "Separations, 1 client, 1 seat": Scenario(1, [Client(1, 25, 1, 1)], 24, "0 %"),
    "Separations, 2 clients, 1 seat": Scenario(1, [Client(1, 25, 1, 1)] * 2, 24, "0 %"),
    "Separations, 2 clients, 2 seats": Scenario(2, [Client(1, 25, 1, 1)] * 2, 24, "0 %"),
    "UniformFlowsHandSize1": Scenario(4, [Client(8, 20, 1, _EARLY)] * 2, 50, "1 %"),
    "UniformFlowsHandSize3": Scenario(4, [Client(8, 30, 1, _EARLY)] * 2, 60, "3 %"),
    "DifferentFlowsExpectEqual": Scenario(4, [Client(8, 20, 1, 1), Client(7, 30, 1, 0.5)], 40, "1 %"),
    "DifferentFlowsExpectUnequal": Scenario(3, [Client(4, 20, 1, _EARLY), Client(2, 20, 1, _EARLY)], 20, "1 %"),
    "SeatSecondsRollover": Scenario(
        4,
        [Client(8, 20, QUARTER_S, QUARTER_S), Client(7, 30, QUARTER_S, QUARTER_S / 2)],
        40 * QUARTER_S,
        "1 %",
    ),
    "Windup": Scenario(
        3,
        [Client(2, 40, 1, A_BIT_LESS_S), Client(2, 40, 1, A_BIT_LESS_S, is_split=True)],
        40,
        "1 %, then 10 to 26 %",
    ),
}


@dataclass(frozen=True, slots=True)
class Call(Request):
    """A thread's request, and what the thread does after it."""

    think_s: float = 0.0
    calls_left: int = 0


def _asks_again(started: Request, now_s: float) -> Iterable[Request]:
    if isinstance(started, Call) and started.calls_left:
        at_s = max(now_s, now_s + started.hold_s + started.think_s)
        yield Call(at_s, started.tenant, started.hold_s, think_s=started.think_s, calls_left=started.calls_left - 1)


def _first_calls(scenario: Scenario) -> list[Request]:
    calls: list[Request] = []
    for number, client in enumerate(scenario.clients):
        for thread in range(client.threads):
            is_late = client.is_split and thread >= client.threads // 2
            # Nanoseconds apart, so that nobody comes at the same time.
            at_s = (90 * thread + 20 * number) * 1e-9 + (scenario.duration_s / 2 if is_late else 0.0)
            calls_left = (client.calls // 2 if is_late else client.calls) - 1
            calls.append(Call(at_s, str(number), client.hold_s, think_s=client.think_s, calls_left=calls_left))
    return calls


def _worst(scenario: Scenario, run: Run, span_s: tuple[float, float], *, is_first_half: bool) -> float:
    demands = {}
    for number, client in enumerate(scenario.clients):
        threads = client.threads // 2 if client.is_split and is_first_half else client.threads
        demands[str(number)] = (threads * client.hold_s / (client.hold_s + client.think_s), 1.0)
    fair = water_fill(scenario.seats, demands)
    had = seat_seconds(run.starts, *span_s)
    length_s = span_s[1] - span_s[0]
    return max(abs(had[name] / length_s / share - 1) for name, share in fair.items())


def errors(scenario: Scenario) -> dict[str, list[float]]:
    """How far under each order the worst off client is from its fair share; of a split scenario, in each half."""
    found = {}
    for order, fresh in seat_orders(scenario.seats).items():
        run = simulate(
            fresh, _first_calls(scenario), seats=scenario.seats, until_s=scenario.duration_s, follow_up=_asks_again
        )
        half_s = scenario.duration_s / 2
        if any(client.is_split for client in scenario.clients):
            halves = ((0.0, half_s), (half_s, scenario.duration_s))
            found[order] = [_worst(scenario, run, each, is_first_half=each[0] == 0) for each in halves]
        else:
            found[order] = [_worst(scenario, run, (0.0, scenario.duration_s), is_first_half=False)]
    return found
