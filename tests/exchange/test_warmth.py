import pytest

from gateway.errors import Lack
from gateway.exchange.warmth import AWAKE_S, HEALTH_S_MAX, Warmth
from gateway.wire.runpod import EndpointHealth


def test_a_worker_at_work_is_up_and_a_moment_longer() -> None:
    warmth = Warmth()
    assert not warmth.is_awake(0.0)
    warmth.submitted()
    assert not warmth.is_awake(0.0)
    warmth.took(10.0, waited_s=10.0)
    assert warmth.waiting == 0
    assert warmth.is_awake(1000.0)
    warmth.ended(1000.0)
    assert warmth.is_awake(1000.0 + AWAKE_S)
    assert not warmth.is_awake(1000.1 + AWAKE_S)
    assert warmth.is_warm(1000.0 + HEALTH_S_MAX)
    assert not warmth.is_warm(1000.1 + HEALTH_S_MAX)


def test_only_waits_for_a_sleeping_endpoint_are_cold_starts() -> None:
    warmth = Warmth()
    assert warmth.start_s() is None
    for at_s, waited_s in ((100.0, 40.0), (101.0, 3.0), (500.0, 60.0), (501.0, 2.0), (900.0, 50.0)):
        warmth.submitted()
        warmth.took(at_s, waited_s=waited_s)
        warmth.ended(at_s)
    assert warmth.start_s() == 50.0


def test_a_job_that_is_withdrawn_waits_no_more() -> None:
    warmth = Warmth()
    warmth.submitted()
    warmth.withdrawn()
    assert warmth.waiting == 0


@pytest.mark.parametrize(
    ("workers", "lack"),
    [
        ({}, Lack.ABSENT),
        ({"idle": 0, "running": 0}, Lack.ABSENT),
        ({"throttled": 2}, Lack.THROTTLED),
        ({"throttled": 2, "initializing": 1}, Lack.STARTING),
        ({"ready": 1}, Lack.STARTING),
        ({"unhealthy": 1}, Lack.UNHEALTHY),
        ({"running": 1}, Lack.BUSY),
    ],
)
def test_the_last_reading_says_what_is_lacking_while_it_is_fresh(workers: dict[str, int], lack: Lack) -> None:
    warmth = Warmth()
    assert warmth.lack(0.0) is Lack.UNKNOWN
    warmth.read(EndpointHealth(workers=workers), 100.0)
    assert warmth.lack(100.0) is lack
    assert warmth.lack(101.0 + HEALTH_S_MAX) is Lack.UNKNOWN
