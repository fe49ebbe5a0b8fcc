"""What the gateway promises, and whether this run kept it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.fairness.row import Bound, Row
from bench.speed.measures import Spread
from bench.speed.peers import DIRECT, ENVOY, LITELLM, OURS
from bench.speed.readings import Readings, Subject
from bench.speed.stage import Scale
from bench.speed.workloads_ours import (
    ADDED_P50,
    EXTRA,
    FEW,
    KB_EACH,
    LATENESS,
    LOST,
    MANY,
    REST,
    STALL,
    START,
)
from bench.speed.workloads_relay import (
    CLIENTS,
    CPU_CHUNK,
    CPU_REQUEST,
    FIRST_BYTE_P50,
    FIRST_BYTE_P99,
    clients_name,
)

_ROUTED = (
    "the column of the bare parts is uvicorn and our transport with nothing between them; routing by Litestar, keys, "
    "fair share, an account of GPU time, metrics and a log line come on top: some 1 500 calls in sixty modules, "
    "none of which takes more than a twenty-fifth of the time (docs/performance.md has them by part). To come near, a "
    "request would have to pass fewer layers"
)
_STREAMED = (
    "the column of the bare parts is what a chunk costs that nobody looks at: the kernel, uvloop and waking one task; "
    "the rest is the chunk's own reading and writing, in one call eight functions deep, and a fiftieth of its request "
    "(docs/performance.md)"
)
ACCEPTED_MISSES: Mapping[tuple[str, str], str] = {
    ("relay", f"of {LITELLM}'s"): (
        f"{_ROUTED}. The target was set by a LiteLLM of 20 ms, whose modules Python was not allowed to keep compiled: "
        "it then compiles some of them again with each request. As anybody runs it, it takes 8 ms"
    ),
    ("relay", f"of {ENVOY}'s"): _ROUTED,
    ("stream", f"of {ENVOY}'s"): _STREAMED,
    ("stream", f"of {LITELLM}'s"): f"{_STREAMED}. LiteLLM has no time for these chunks and passes on several at once",
    ("flat", "tenants"): (
        "the work is the same call for call with 1 tenant and with 1 000 (tests/test_work_per_request.py); what grows "
        "is memory that no cache holds when each request is another tenant's, and the lines of a scrape, which are "
        "prometheus_client's to write"
    ),
}
"""By row and target: the proof that it cannot be reached with these parts."""
FLAT = 1.15


@dataclass(frozen=True, slots=True)
class Aim:
    """A number that has to be at most so large."""

    name: str
    spread: Spread
    limit: float


def target_rows(readings: Readings, scale: Scale) -> list[Row]:
    """A row for each target that anything was measured for; what is missing beside it says so."""
    return [row for number, (work, aims) in _aims(readings, scale).items() if (row := _row(number, work, aims))]


def _row(number: str, work: str, aims: Sequence[Aim]) -> Row | None:
    if not any(aim.spread.values for aim in aims):
        return None
    cells = {aim.name: str(aim.spread) if aim.spread.values else "not measured" for aim in aims}
    bounds = tuple(Bound(aim.name, aim.spread.median, aim.limit) for aim in aims if aim.spread.values)
    return Row(number=number, measure=work, cells=cells, bounds=bounds)


def _aims(readings: Readings, scale: Scale) -> dict[str, tuple[str, Sequence[Aim]]]:
    streams, most_tenants = scale.held_streams, scale.tenants[-1]
    at_clients, held = clients_name(CLIENTS), Subject("held", f"{streams} streams", OURS)
    half, rest, large = Subject("first-byte", "half load", OURS), Subject("rest", "", OURS), _large()
    chunk = Subject("first-chunk", "emulator", OURS)
    eight, relayed = Subject("jobs", "pages of 8", OURS), Subject("jobs", "relayed", OURS)
    return {
        "relay": (
            "whole relayed answer: CPU per request",
            _against(readings, "relay", at_clients, measure=CPU_REQUEST, limits={LITELLM: 1 / 40, ENVOY: 3.5}),
        ),
        "stream": (
            "relayed stream: CPU per chunk",
            _against(readings, "stream", at_clients, measure=CPU_CHUNK, limits={LITELLM: 1 / 25, ENVOY: 1.4}),
        ),
        "jobs": (
            "job route, 8 outputs a page: CPU per output",
            [Aim("of a relayed chunk's", readings.ratio(eight, relayed, CPU_CHUNK), 1)],
        ),
        "first-byte": (
            "relay at half load: first byte later than the upstream's own",
            [
                Aim("p50 ms", _added(readings, half, FIRST_BYTE_P50), 1),
                Aim("p99 ms", _added(readings, half, FIRST_BYTE_P99), 5),
            ],
        ),
        "first-chunk": (
            "job route: first chunk later than Runpod's own page",
            [Aim("p50 ms", readings.of(chunk, ADDED_P50), 3)],
        ),
        "held": (
            f"{streams} open streams, a chunk a second each",
            [
                Aim("lost", readings.of(held, LOST), 0),
                Aim("KB each", readings.of(held, KB_EACH), 24),
                Aim("p99 lateness ms", readings.of(held, LATENESS), 100),
            ],
        ),
        "flat": (
            f"CPU per request: most over least, 1 to {most_tenants} tenants, 1 to {streams} open streams",
            [
                Aim("tenants", _unevenness(readings, "tenants", [str(count) for count in scale.tenants]), FLAT),
                Aim("open streams", _unevenness(readings, "beside-held", [FEW, MANY]), FLAT),
            ],
        ),
        "rest": (
            "one process: memory at rest, start to first answer",
            [Aim("MB", readings.of(rest, REST), 70), Aim("s", readings.of(rest, START), 1)],
        ),
        "bodies": (
            "a body of 10 MB: memory at the peak, longest stall",
            [Aim("of the body", readings.of(large, EXTRA), 2.2), Aim("ms", readings.of(large, STALL), 20)],
        ),
    }


def _large() -> Subject:
    return Subject("bodies", "10 MB", OURS)


def _against(
    readings: Readings, workload: str, variant: str, *, measure: str, limits: Mapping[str, float]
) -> list[Aim]:
    ours = Subject(workload, variant, OURS)
    return [
        Aim(f"of {peer}'s", readings.ratio(ours, Subject(workload, variant, peer), measure), limit)
        for peer, limit in limits.items()
    ]


def _added(readings: Readings, ours: Subject, measure: str) -> Spread:
    own = readings.of(Subject(ours.workload, ours.variant, DIRECT), measure).values
    return Spread(tuple(one - other for one, other in zip(readings.of(ours, measure).values, own, strict=True)))


def _unevenness(readings: Readings, workload: str, variants: Sequence[str]) -> Spread:
    """The dearest variant over the cheapest, round by round."""
    columns = [readings.of(Subject(workload, variant, OURS), CPU_REQUEST).values for variant in variants]
    return Spread(tuple(max(costs) / min(costs) for costs in zip(*columns, strict=False)))
