"""Stories that once broke the promise of leases, each the smallest of its kind."""

from dataclasses import replace

import pytest

from gateway.domain import OutagePolicy
from gateway.fairshare.lease import HOLD_S, SETTLE_S
from gateway.fairshare.remote_usage import GateElsewhere, TenantUse
from tests.models.lease_world import Rules, Way, World

SEATS = 8
STRICT = Rules(seats=SEATS)
SHARE = replace(STRICT, policy=OutagePolicy.SHARE)
NOW = Way()


def settled(rules: Rules, **targets: int) -> World:
    """Replicas that have what they aim at."""
    world = World(rules)
    for name in targets:
        world.start(name)
        world.heartbeat(name, 0, NOW)
        world.pass_time(0)
    world.pass_time(SETTLE_S)
    for _ in range(2):
        beat(world, **targets)
    for name, target in targets.items():
        assert world.replicas[name].lease.limit == target
    return world


def beat(world: World, **targets: int) -> None:
    for name, target in targets.items():
        world.heartbeat(name, target, NOW)
        world.pass_time(0)


def test_a_strict_replica_that_was_forgotten_tells_what_it_acts_on_and_not_what_it_was_told_once() -> None:
    """It stopped by itself, and all its streams have ended; the seats are lent to another by then."""
    world = settled(STRICT, a=SEATS, b=0)
    world.pass_time(HOLD_S - 1)
    beat(world, b=0)
    world.pass_time(2)
    beat(world, b=SEATS)
    beat(world, a=SEATS)
    assert [world.replicas[name].lease.seats(world.now_s) for name in "ab"] == [0, SEATS]


@pytest.mark.parametrize("silence_s", [HOLD_S + 1, 2 * HOLD_S + 1])
def test_the_first_one_back_after_an_outage_for_all_takes_what_others_use(silence_s: float) -> None:
    """The store kept its memory; it counts from what it heard last, and the others from what they were told last."""
    world = settled(SHARE, a=4, b=4)
    world.pass_time(silence_s)
    world.dispatch("b", 4, 10.0)
    beat(world, a=SEATS)


def test_after_a_long_outage_a_replica_claims_what_it_was_told_before_it() -> None:
    """Both went on with a half each; the store lost its memory and believes that one has everything."""
    world = settled(SHARE, a=SEATS, b=0)
    world.pass_time(2 * HOLD_S + 1)
    world.dispatch("b", 4, 10.0)
    world.wipe()
    beat(world, a=SEATS)


def test_a_store_that_forgot_does_not_wait_for_the_silent_where_nobody_who_tells_has_a_seat() -> None:
    """One was told before that it has none, so somebody else has them."""
    world = settled(STRICT, a=SEATS, b=0)
    world.dispatch("a", SEATS, 20.0)
    world.wipe()
    world.replicas["a"].is_cut_off = True
    beat(world, b=0)
    world.pass_time(SETTLE_S)
    beat(world, b=SEATS)


def test_the_goodbye_of_a_process_that_was_never_heard_frees_what_the_one_before_it_left_running() -> None:
    world = settled(STRICT, a=SEATS, b=0)
    world.dispatch("a", SEATS, 20.0)
    world.start("a")
    world.leave("a", 0.0)
    world.pass_time(0)
    beat(world, b=SEATS)


def test_a_late_goodbye_frees_what_the_next_process_has() -> None:
    world = settled(STRICT, a=0, b=0)
    world.leave("a", 0.3)
    world.start("a")
    beat(world, a=SEATS)
    world.pass_time(0.3)
    beat(world, b=SEATS)


@pytest.mark.parametrize("silence_s", [2.0, 30.0])
def test_what_a_replica_did_while_it_was_not_heard_is_counted_when_it_is_heard_again(silence_s: float) -> None:
    """After an outage whoever is back first hears of nobody; what the others did meanwhile counts as never done."""
    remote = GateElsewhere(capacity_per_s=SEATS)
    told = [
        *remote.news({"b first": {"x": TenantUse(1.0, 4, 9, 100.0)}}, 0.0),
        *remote.news({}, silence_s),
        *remote.news({"b first": {"x": TenantUse(1.0, 4, 9, 100.0 + 4 * silence_s)}}, silence_s + 0.1),
    ]
    assert sum(served for _, _, _, served in told) == pytest.approx(4 * silence_s)
