"""Each thing that may be wrong misses its own target."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric

from bench.soak.client import End, Visited
from bench.soak.ledger import Ledger
from bench.soak.plan import visits
from bench.soak.report import lines, report
from bench.soak.run import Size, Soaked
from bench.soak.watch import Footprint, Held, Sample

PLANNED = visits(4, seats=8)
QUIET = Sample(
    700,
    Footprint(rss_mb=70, private_mb=50, descriptors=14, threads=7, cpu_s=100),
    Held(permits=0, tickets=0, exchanges=0, jobs=0),
)


def metrics(outcomes: dict[str, int]) -> Sequence[object]:
    registry = CollectorRegistry()
    requests = Metric("gateway_requests_total", "", ["outcome"], registry=registry)
    for outcome, count in outcomes.items():
        requests.labels(outcome).inc(count)
    return list(registry.collect())


def busy(at_s: float, private_mb: float = 50) -> Sample:
    footprint = replace(QUIET.footprint, private_mb=private_mb, cpu_s=at_s / 5)
    return Sample(at_s, footprint, replace(QUIET.held, permits=45))


def soaked(**changes: object) -> Soaked:
    left = 4
    answered = len(PLANNED) - left
    good = {
        "size": Size(seconds=600, seats=64),
        "planned": PLANNED,
        "visited": Counter({Visited(End.ANSWERED): answered, Visited(End.LEFT): left}),
        "before": replace(QUIET, at_s=0),
        "samples": [busy(at_s) for at_s in range(0, 600, 5)],
        "after": QUIET,
        "metrics": metrics({"completed": answered, "client_left": left}),
        "ledger": Ledger(
            left_in_line=1,
            left_before_output=1,
            left_in_answer=2,
            jobs={"a", "b"},
            left_jobs={"b"},
            cancelled={"b": "ok"},
        ),
        "job_states": {"a": "COMPLETED", "b": "CANCELLED", "sync-c": "COMPLETED"},
    }
    return Soaked(**{**good, **changes})


def missed(seen: Soaked) -> list[str]:
    return [line.measure for line in lines(seen) if line.is_missed]


def test_a_good_run_misses_nothing() -> None:
    assert missed(soaked()) == []
    assert "MISSED" not in report(soaked())


@pytest.mark.parametrize(
    ("changes", "measure"),
    [
        ({"visited": Counter({Visited(End.ANSWERED): 1})}, "requests"),
        ({"samples": [busy(at_s, 50 + at_s / 60) for at_s in range(0, 600, 5)]}, "private memory: growth"),
        ({"samples": [replace(busy(at_s), held=QUIET.held) for at_s in range(0, 600, 5)]}, "seats"),
        ({"after": replace(QUIET, footprint=replace(QUIET.footprint, descriptors=20))}, "file descriptors"),
        ({"after": replace(QUIET, footprint=replace(QUIET.footprint, threads=20))}, "threads"),
        ({"after": replace(QUIET, held=replace(QUIET.held, jobs=1))}, "still held"),
        ({"ledger": Ledger(jobs={"a", "b"}, left_jobs={"a", "b"}, bad_lines=1)}, "bugs"),
        ({"job_states": {"nobody's": "COMPLETED"}}, "jobs at the emulator"),
        ({"ledger": Ledger(jobs={"a", "b"}, left_jobs={"b"})}, "jobs whose client left"),
        ({"metrics": metrics({"completed": len(PLANNED) - 4, "upstream_failed": 1})}, "the gateway's outcomes"),
        ({"metrics": metrics({})}, "the gateway's outcomes"),
    ],
)
def test_what_is_wrong_is_missed(changes: dict[str, object], measure: str) -> None:
    assert [name for name in missed(soaked(**changes)) if name.startswith(measure)]


def test_a_failure_is_unexplained_and_a_refusal_is_not() -> None:
    answered = len(PLANNED) - 2
    ends = Counter({Visited(End.ANSWERED): answered, Visited(End.REFUSED, "429 tenant_over_share"): 2})
    assert missed(soaked(visited=ends, metrics=metrics({"completed": answered, "refused": 2}))) == []
    ends = Counter({Visited(End.ANSWERED): answered, Visited(End.FAILED, "502 server_error"): 2})
    assert "errors unexplained" in missed(soaked(visited=ends, metrics=metrics({"completed": answered})))


def test_a_short_run_says_nothing_of_memory() -> None:
    short = soaked(size=Size(seconds=60), samples=[busy(at_s, at_s) for at_s in range(0, 60, 5)])
    assert missed(short) == []
    assert "too short" in report(short)
