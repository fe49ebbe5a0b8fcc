"""The workloads of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024), number by number.

The random numbers are drawn as their artifact draws them (numpy, seed 42), so that the requests are the same ones. The
server is a calibration on their logs: so many seats, and a hold in proportion to the output.
"""

import csv
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from numpy.random import RandomState

from bench.fairness.machine import Request

SEED = 42
SEATS = 19
HOLD_S_PER_TOKEN = 0.0423
REAL_SEATS = 23
REAL_HOLD_S_PER_TOKEN = 0.045
REAL_HOLD_S_MIN = 0.05
ON_OFF_S = 60.0
TRACE = pathlib.Path(__file__).parent / "data" / "vtc_real_trace.csv"

Tokens = tuple[int, int]
"""From, and up to but without."""
ALWAYS_256: Tokens = (256, 257)


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests, and the server that they are for."""

    requests: Sequence[Request]
    seats: int = SEATS
    weights: Mapping[str, float] = field(default_factory=dict)


def _request(arrival_s: float, client: int, input_tokens: int, output_tokens: int) -> Request:
    return Request(arrival_s, str(client), HOLD_S_PER_TOKEN * output_tokens, input_tokens, output_tokens)


def _is_off(at_s: float) -> bool:
    return int(at_s // ON_OFF_S) % 2 == 1


def _even(
    chance: RandomState, rates: Sequence[float], duration_s: float, *, is_on_off: bool = False, from_s: float = 0.0
) -> list[Request]:
    """Each client at its even rate; the first one, if so wanted, every other minute only."""
    requests = []
    for client, rate in enumerate(rates):
        at_s = from_s + chance.rand() / rate
        for _ in range(int(rate * duration_s)):
            at_s += 1 / rate
            if not (is_on_off and client == 0 and _is_off(at_s)):
                requests.append(_request(at_s, client, 256, 256))
    return sorted(requests, key=lambda each: each.arrival_s)


def _overload() -> Workload:
    return Workload(_even(RandomState(SEED), [1.5, 3], 360))


def _overload_multi() -> Workload:
    return Workload(_even(RandomState(SEED), [0.4] * 3 + [0.6] * 5, 360))


def _overload_weighted() -> Workload:
    requests = _even(RandomState(SEED), [0.8, 0.8, 1.2, 1.6], 360)
    return Workload(requests, weights={"0": 1.0, "1": 2.0, "2": 3.0, "3": 4.0})


def _proportional() -> Workload:
    return Workload(_even(RandomState(SEED), [0.25, 0.5, 1.5], 600))


def _on_off_less() -> Workload:
    return Workload(_even(RandomState(SEED), [0.5, 2], 600, is_on_off=True))


def _on_off_overload() -> Workload:
    return Workload(_even(RandomState(SEED), [2, 3], 600, is_on_off=True))


def _increase() -> Workload:
    """One client keeps its rate, the other one's grows from next to nothing to more than its share."""
    duration_s, rate_first, rate_last = 600.0, 0.2, 2.0
    requests = [_request(number / 0.5, 0, 256, 256) for number in range(1, int(0.5 * duration_s) + 1)]
    at_s = 0.0
    for _ in range(int((rate_first + rate_last) / 2 * duration_s)):
        at_s += 1 / (rate_first + (rate_last - rate_first) * at_s / duration_s)
        requests.append(_request(at_s, 1, 256, 256))
    return Workload(sorted(requests, key=lambda each: each.arrival_s))


def _distribution_shift() -> Workload:
    chance = RandomState(SEED)
    requests = _even(chance, [0.5, 2], 300, is_on_off=True)
    requests += _even(chance, [1, 1], 300, from_s=300)
    requests += _even(chance, [0.5, 1.5], 300, from_s=600)
    return Workload(sorted(requests, key=lambda each: each.arrival_s))


def _poisson(
    rates: tuple[float, float],
    inputs: Tokens,
    outputs: Tokens,
    *,
    first: Callable[[int, int], Tokens] = lambda input_tokens, output_tokens: (input_tokens, output_tokens),
    is_on_off: bool = False,
) -> Workload:
    """Two clients with Poisson arrivals; `first` says how the requests of the first one differ."""
    chance = RandomState(SEED)
    count = int(sum(rates) * 600)
    is_second = (chance.rand(count) > rates[0] / sum(rates)).tolist()
    input_tokens = chance.randint(*inputs, count).tolist()
    output_tokens = chance.randint(*outputs, count).tolist()
    gaps_s = chance.gamma(1.0, 1 / sum(rates), count).tolist()
    requests, at_s = [], 0.0
    for second, taken, made, gap_s in zip(is_second, input_tokens, output_tokens, gaps_s, strict=True):
        at_s += gap_s
        if second:
            requests.append(_request(at_s, 1, taken, made))
        elif not (is_on_off and _is_off(at_s)):
            requests.append(_request(at_s, 0, *first(taken, made)))
    return Workload(requests)


def _poisson_short_long() -> Workload:
    return _poisson((8, 1.5), ALWAYS_256, ALWAYS_256, first=lambda taken, made: (taken // 4, made // 4))


def _poisson_short_long_2() -> Workload:
    return _poisson((8, 1.5), (32, 33), (512, 513), first=lambda taken, made: (made, taken))


def _poisson_on_off_overload() -> Workload:
    return _poisson((0.5, 2), (16, 512), (16, 512), is_on_off=True)


def _real() -> Workload:
    """1500 requests of 27 clients in ten minutes, as they came to a public chat service."""
    with TRACE.open(newline="") as lines:
        requests = [
            Request(
                float(row["arrival_s"]),
                row["client"],
                max(REAL_HOLD_S_MIN, REAL_HOLD_S_PER_TOKEN * int(row["output_tokens"])),
                int(row["input_tokens"]),
                int(row["output_tokens"]),
            )
            for row in csv.DictReader(lines)
        ]
    return Workload(requests, seats=REAL_SEATS)


_MAKERS: dict[str, Callable[[], Workload]] = {
    "overload": _overload,
    "overload-multi": _overload_multi,
    "overload-weighted": _overload_weighted,
    "proportional": _proportional,
    "increase": _increase,
    "on_off_less": _on_off_less,
    "on_off_overload": _on_off_overload,
    "poisson_on_off_overload": _poisson_on_off_overload,
    "poisson_short_long": _poisson_short_long,
    "poisson_short_long_2": _poisson_short_long_2,
    "dist_shift": _distribution_shift,
    "real": _real,
}
NAMES = tuple(_MAKERS)
"""As the artifact calls them."""


@functools.cache
def workload(name: str) -> Workload:
    """The workload of this name."""
    return _MAKERS[name]()
