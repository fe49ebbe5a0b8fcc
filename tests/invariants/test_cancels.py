"""Nothing leaks, however a request ends: at each tick by itself, and a hundred thousand times in a row."""

import asyncio
import itertools
import random

import anyio
import pytest

from gateway.admission.capacity import StaticCapacity
from gateway.admission.gate import Gate
from gateway.domain import Tenant
from gateway.errors import RefusedError
from gateway.fairshare.cost_model import of_calls
from gateway.fairshare.overflow import QueueLimits
from tests.fakes.clock import FakeClock
from tests.invariants.stage import Stage, Visit, check_gate_is_empty
from tests.invariants.virtual_loop import VirtualLoop

TICKS = range(7)
VISITS = 100_000
BATCH = 500


def cancel_the_task(stage: Stage, visit: Visit) -> None:
    visit.task.cancel()
    stage.tick()


def cancel_the_scope(stage: Stage, visit: Visit) -> None:
    if visit.scope is not None:
        stage.loop.call_soon(visit.scope.cancel)
    stage.tick()


def run_out_of_time(stage: Stage, visit: Visit) -> None:
    stage.lag(visit.wait_s_max)
    stage.tick()


@pytest.mark.parametrize("leave", [cancel_the_task, cancel_the_scope, run_out_of_time])
@pytest.mark.parametrize("per_10s", [None, 1])
def test_a_waiter_that_leaves_at_any_tick_around_its_grant_leaks_nothing(leave, per_10s) -> None:
    for finish_tick, leave_tick, seats in itertools.product(TICKS, TICKS, (1, 2)):
        with Stage(seats, per_10s=per_10s) as stage:
            holder = stage.submit(Tenant(name="holder"))
            stage.tick()
            waiter = stage.submit(Tenant(name="waiter"), wait_s_max=60.0, size=7)
            behind = stage.submit(Tenant(name="behind"), size=5)
            for tick in TICKS:
                if tick == finish_tick:
                    holder.ends.set()
                if tick == leave_tick:
                    leave(stage, waiter)
                else:
                    stage.tick()
            behind.ends.set()
            stage.drain()
            assert behind.outcome == "served"
            stage.check_nothing_is_left()


class Crowd:
    """Visitors of one gate who stay, lose patience or are cancelled, at random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = FakeClock()
        self.loop = VirtualLoop(self.clock)
        capacity, limits = (
            StaticCapacity(20, calls_per_10s=20_000),
            QueueLimits(tickets_max=300, tenant_tickets_max=200),
        )
        self.gate = Gate(capacity, of_calls(2000, seats=20), clock=self.clock, limits=limits)
        self.tenants = [Tenant(name=f"t{number}", weight=1.0 + number % 3) for number in range(9)]
        self.outcomes = {"served": 0, "refused": 0, "cancelled": 0}
        self.held_max = 0
        self.begun = 0
        """Some are cancelled before their first step."""

    async def visit(self, tenant: Tenant, wait_s_max: float, stay_ticks: int) -> None:
        self.begun += 1
        try:
            async with self.gate.permit(tenant, wait_s_max=wait_s_max, size=10):
                self.held_max = max(self.held_max, self.gate.occupancy.held)
                for _ in range(stay_ticks):
                    await asyncio.sleep(0)
                self.gate.accepted_upstream()
            self.outcomes["served"] += 1
        except RefusedError:
            self.outcomes["refused"] += 1
        except asyncio.CancelledError:
            self.outcomes["cancelled"] += 1
            raise

    def batch(self, count: int) -> None:
        chance = self.chance
        tasks = [
            self.loop.create_task(
                self.visit(chance.choice(self.tenants), chance.choice((0.0, 0.02, 0.1, 5.0)), chance.randrange(6))
            )
            for _ in range(count)
        ]
        to_cancel = [task for task in tasks if chance.random() < 0.5]
        chance.shuffle(to_cancel)
        while not all(task.done() for task in tasks):
            for _ in range(min(len(to_cancel), chance.randrange(40))):
                to_cancel.pop().cancel()
            self.clock.now_s += chance.choice((0.0, 0.001, 0.01))
            self.loop.tick()


def test_a_hundred_thousand_cancels_and_timeouts_leave_nothing_behind() -> None:
    crowd = Crowd(seed=11)
    try:
        visit_in_batches(crowd)
    finally:
        crowd.loop.shut()


def visit_in_batches(crowd: Crowd) -> None:
    for _ in range(VISITS // BATCH):
        crowd.batch(BATCH)
        check_gate_is_empty(crowd.gate)
    assert not asyncio.all_tasks(crowd.loop)
    assert not crowd.loop.timers()
    assert crowd.held_max == 20
    assert sum(crowd.outcomes.values()) == crowd.begun > VISITS / 2
    assert min(crowd.outcomes.values()) > VISITS / 100, crowd.outcomes


async def test_a_body_that_fails_gives_its_permit_back() -> None:
    gate = Gate(StaticCapacity(1), of_calls(10, seats=1), clock=FakeClock())

    async def fail() -> None:
        async with gate.permit(Tenant(name="a"), wait_s_max=0):
            await anyio.lowlevel.checkpoint()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await fail()
    check_gate_is_empty(gate)
