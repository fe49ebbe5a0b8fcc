import pytest

from gateway.emulator.worker_time import WorkerTime
from gateway.emulator.workforce import KINDS, Worker, Workforce


def a_workforce(*conditions: str) -> Workforce:
    workforce = Workforce(WorkerTime())
    for number, condition in enumerate(conditions):
        workforce.add(Worker(id=str(number), kind="scripted", condition=condition, seen_s=0.0), 0.0)
    return workforce


def shown(workforce: Workforce, *, busy: set[str] = frozenset(), down: str = "") -> dict[str, int]:
    counts = workforce.counts(busy, down=down)
    assert set(counts) == set(KINDS)
    return {kind: count for kind, count in counts.items() if count}


def test_each_condition_is_counted():
    assert shown(a_workforce("cold", "starting", "up", "up"), busy={"3"}) == {
        "initializing": 1,
        "running": 1,
        "idle": 1,
        "ready": 1,
    }


@pytest.mark.parametrize(
    ("down", "counts"), [("throttled", {"throttled": 2}), ("unhealthy", {"unhealthy": 2}), ("absent", {})]
)
def test_workers_that_are_down(down, counts):
    assert shown(a_workforce("up", "cold"), down=down) == counts


def test_a_remote_worker_appears_with_its_first_call_and_is_forgotten_when_it_falls_silent():
    workforce = a_workforce("up")
    workforce.hear_of("remote", 10.0)
    assert workforce.up_count() == 2
    workforce.hear_of("remote", 20.0)
    assert workforce.bury_silent(20.0, 30.0) == set()
    assert workforce.bury_silent(20.1, 30.0) == {"remote"}
    assert workforce.up_count() == 1
