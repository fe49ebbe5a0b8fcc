"""The workloads are those that were published, and the server behaves as the one they ran on."""

from collections import Counter

import pytest

from bench.fairness.machine import simulate
from bench.fairness.measures import service_difference, throughput
from bench.fairness.orders import Fifo
from bench.fairness.workloads import NAMES, workload


@pytest.mark.parametrize("name", NAMES)
def test_requests_come_in_order_and_are_the_same_each_time(name: str) -> None:
    requests = workload(name).requests
    arrivals = [request.arrival_s for request in requests]
    assert arrivals == sorted(arrivals)
    workload.cache_clear()
    assert workload(name).requests == requests


def test_there_are_as_many_as_published() -> None:
    clients = {
        name: Counter(request.tenant for request in workload(name).requests)
        for name in ("proportional", "on_off_less", "increase")
    }
    assert clients["proportional"] == {"0": 150, "1": 300, "2": 900}
    assert clients["on_off_less"] == {"0": 150, "1": 1200}
    assert clients["increase"] == {"0": 300, "1": 660}


def test_the_real_trace_is_whole() -> None:
    real = workload("real")
    assert len(real.requests) == 1500
    assert len({request.tenant for request in real.requests}) == 27


def test_first_come_first_served_on_the_real_trace_is_as_published() -> None:
    """On their GPU: 759.97, 433.53 and 777 tokens a second."""
    real = workload("real")
    run = simulate(Fifo(), real.requests, seats=real.seats)
    difference = service_difference(run)
    assert difference.largest == pytest.approx(759.97, rel=0.01)
    assert difference.mean == pytest.approx(433.53, rel=0.01)
    assert throughput(run) == pytest.approx(777, rel=0.04)
