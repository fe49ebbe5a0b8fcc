"""The replicas of the benchmark: they share what is one, and the measures see what goes wrong."""

from dataclasses import replace
from random import Random

import anyio
import pytest

from bench.fairness import halved_limit, heartbeat, replicas
from bench.fairness.all_rows import MEASUREMENTS
from bench.fairness.halved_limit import Case, halved
from bench.fairness.replicas import PARTS, SINGLE, Crowd, Network, Scenario, live
from bench.fairness.virtual_loop import VirtualClock, run_virtually
from gateway.domain import Tenant
from tests.effort import THOROUGH


def hold_s(chance: Random) -> float:
    return chance.uniform(0.5, 1.5)


A, B = Tenant(name="a"), Tenant(name="b")
SKEW = Scenario(
    crowds=(Crowd(tenant=A, replica=0, clients=30), *(Crowd(tenant=B, replica=each, clients=30) for each in (0, 1))),
    replicas=2,
    seats=20,
    hold_s=hold_s,
    ends_s=40.0,
)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "MEASURED_FROM_S", 10.0)
    monkeypatch.setattr(halved_limit, "MEASURED_FROM_S", 10.0)


def test_time_jumps_to_the_next_timer() -> None:
    async def wait() -> tuple[float, float]:
        await anyio.sleep(80_000)
        return VirtualClock().monotonic_s(), VirtualClock().unix_s()

    assert run_virtually(wait()) == (80_000, 80_000)


def test_who_waits_for_nothing_is_told() -> None:
    with pytest.raises(RuntimeError, match="nothing"):
        run_virtually(anyio.sleep_forever())


def test_leases_share_as_one_gate_does_and_fixed_parts_do_not() -> None:
    leased, single, parts = (live(replace(SKEW, way=way)) for way in (SKEW.way, SINGLE, PARTS))
    assert leased.share("a") == pytest.approx(0.5, abs=0.02)
    assert single.share("a") == pytest.approx(0.5, abs=0.02)
    assert parts.share("a") == pytest.approx(0.25, abs=0.02)
    assert leased.jain > 0.99 > parts.jain
    assert leased.utilisation > 0.99
    assert (leased.overshoot, leased.lost) == (0, 0)


def test_a_run_is_the_same_each_time() -> None:
    story = replace(SKEW, crash_s=20.0)
    assert live.__wrapped__(story).seat_seconds == pytest.approx(live.__wrapped__(story).seat_seconds)


def test_seats_of_a_replica_that_was_killed_are_missing_for_a_while() -> None:
    even = replace(SKEW, crowds=tuple(Crowd(tenant=A, replica=each, clients=30) for each in (0, 1)), ends_s=70.0)
    life = live(replace(even, crash_s=20.0))
    assert life.utilisation == pytest.approx(1 - 0.5 * 30 / 60, abs=0.03)
    assert (life.overshoot, life.lost) == (0, 0)


def test_without_a_store_everything_goes_on() -> None:
    for is_wiped in (False, True):
        life = live(replace(SKEW, network=Network(outage_s=(15.0, 30.0), is_wiped=is_wiped)))
        assert life.utilisation > 0.99
        assert life.overshoot == 0


def test_messages_that_are_lost_cost_little() -> None:
    life = live(replace(SKEW, network=Network(loss=0.05)))
    assert life.utilisation > 0.97
    assert life.overshoot == 0


def test_a_crowd_asks_in_turns() -> None:
    crowd = Crowd(tenant=A, replica=0, clients=1, asks_s=5.0)
    assert [crowd.pause_s(at_s) for at_s in (0.0, 4.9, 5.0, 7.0, 10.0)] == [0, 0, 5.0, 3.0, 0]


@pytest.mark.parametrize("count", [pytest.param(1, marks=THOROUGH), 2])
def test_a_limit_that_was_halved_is_found_out(count: int) -> None:
    steady = halved(Case(replicas=count, halves_at_s=halved_limit.STEADY, ends_s=40.0))
    assert steady.refused_part(0.0) == 0
    run = halved(Case(replicas=count, halves_at_s=20.0, ends_s=90.0))
    assert run.refused_part(20.0, 30.0) > run.refused_part(run.after(3))
    assert run.refused_part(run.after(3)) < 0.01
    assert 0.85 < run.use(run.after(3)) <= 1


@pytest.mark.server
def test_a_heartbeat_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEATS", 5)
    monkeypatch.setattr(heartbeat, "WARM_UP", 2)
    monkeypatch.setattr(heartbeat, "OWN_BEATS", 4)
    assert heartbeat.is_redis_here()
    cost = heartbeat.redis_cost(10)
    assert 0 < cost.at_redis_us < cost.round_trip_us
    assert heartbeat.own_beat_us(10) > 0


def test_the_rows_are_registered() -> None:
    assert {"12", "13", "14", "15"} <= {measurement.number for measurement in MEASUREMENTS}
