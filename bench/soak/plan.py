"""Who comes when, asks what, and leaves when: the same for the same seed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.random import RandomState

TENANTS = {"one": 1, "two": 2, "three": 3}
"""Names and weights."""
ROUTES = ("job", "openai")
"""An endpoint and a model of each name, and of this route."""
LOAD = 0.7
"""Of the seats, on average."""
PERIOD_S = 23.0
"""No multiple of the time between samples, which would see the same moments of it again and again."""
BURST_S = 4.0
BURST_LOAD = 1.6
"""Beyond the seats, so that there is a line that clients can leave."""
TOKEN_S = 0.1
TOKENS_MIN, TOKENS_MAX = 5, 35
EDGES_S = 0.25
"""What an answer takes beyond its tokens: its first and last chunk are paced too."""
LEAVING = 0.2
EARLY_S = 0.3
"""Half of those who leave do so within this time: in the line, or before the first chunk. The others at any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request. Times are seconds; `at_s` counts from the start."""

    at_s: float
    tenant: str
    route: str
    is_stream: bool
    tokens: int
    leaves_after_s: float | None


def visits(seconds: float, *, seats: int, seed: int = 1) -> Sequence[Visit]:
    """Arrivals that wait for nobody, for so long; `seats` are those of all endpoints together."""
    random = RandomState(seed)
    planned: list[Visit] = []
    at_s = 0.0
    while True:
        at_s += random.exponential(mean_hold_s() / (seats * _load(at_s)))
        if at_s >= seconds:
            return planned
        tokens = int(random.randint(TOKENS_MIN, TOKENS_MAX + 1))
        planned.append(
            Visit(
                at_s=at_s,
                tenant=list(TENANTS)[random.randint(len(TENANTS))],
                route=ROUTES[random.randint(len(ROUTES))],
                is_stream=bool(random.randint(2)),
                tokens=tokens,
                leaves_after_s=_leaves_after_s(random, tokens * TOKEN_S),
            )
        )


def mean_hold_s() -> float:
    """How long a request has a seat, on average, where it does not wait for it.

    On the job route a cancel ends the job of a client that leaves. A relayed answer cannot be cancelled, and has its
    seat to the end.
    """
    whole_s = EDGES_S + TOKEN_S * (TOKENS_MIN + TOKENS_MAX) / 2
    cancelled_s = (EARLY_S / 2 + whole_s / 2) / 2
    return (1 - LEAVING) * whole_s + LEAVING * (whole_s + cancelled_s) / 2


def _load(at_s: float) -> float:
    if at_s % PERIOD_S < BURST_S:
        return BURST_LOAD
    return (LOAD * PERIOD_S - BURST_LOAD * BURST_S) / (PERIOD_S - BURST_S)


def _leaves_after_s(random: RandomState, hold_s: float) -> float | None:
    if random.random_sample() >= LEAVING:
        return None
    return float(random.uniform(0, EARLY_S if random.randint(2) else hold_s))
