"""The budgets of an endpoint's operations never lend to each other, and a cancel is never turned away."""

from typing import Self

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.capacity import StaticCapacities
from gateway.admission.endpoint_gates import CallBudgets, EndpointGates
from gateway.admission.gate import Gate
from gateway.domain import PUBLISHED_LIMITS, Operation, Tenant
from gateway.fairshare.cost_model import of_calls
from gateway.fairshare.fair_queue import FairQueue
from gateway.jobs.canceller import TURN_S_MAX
from tests.factories import endpoint
from tests.fakes.clock import FakeClock
from tests.invariants.profile import steady
from tests.invariants.virtual_loop import VirtualLoop

SEATS = 40
CANCELS = PUBLISHED_LIMITS[Operation.CANCEL]


class Calls:
    """Calls at the gates of one endpoint, each as long as it is told."""

    def __init__(self, seats: int = SEATS) -> None:
        self.clock = FakeClock()
        self.loop = VirtualLoop(self.clock)
        made, alone = endpoint(max_in_flight=seats), StaticCapacities()
        budgets = CallBudgets(made, self.clock, alone)
        self.gates = EndpointGates(made, self.clock, budgets=budgets, capacities=alone)
        self.waits: list[float] = []
        self.refusals = 0

    def call(self, gate: Gate, name: str, *, weight: float = 1.0, lasts_s: float = 0.0, is_busy: bool = False) -> None:
        self.loop.create_task(self._call(gate, Tenant(name=name, weight=weight), lasts_s, is_busy))

    async def _call(self, gate: Gate, tenant: Tenant, lasts_s: float, is_busy: bool) -> None:
        try:
            async with gate.permit(tenant, wait_s_max=TURN_S_MAX) as permit:
                if gate is self.gates.call(Operation.CANCEL):
                    self.waits.append(permit.wait_s)
                await anyio.sleep(lasts_s)
                if is_busy:
                    gate.refused_upstream(permit, retry_after_s=60.0)
        except Exception:
            self.refusals += gate is self.gates.call(Operation.CANCEL)

    def exhaust(self, gate: Gate, count: int, *, is_busy: bool) -> None:
        for number in range(count):
            self.call(gate, f"t{number % 3}", lasts_s=0.0 if is_busy else 1e6, is_busy=is_busy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.shut()


@given(
    st.sets(st.sampled_from([operation for operation in Operation if operation is not Operation.CANCEL]), min_size=1),
    st.booleans(),
    st.integers(0, 5),
)
@steady(12)
def test_no_exhausted_operation_delays_a_cancel(operations: set[Operation], is_busy: bool, after_s: int) -> None:
    with Calls() as calls:
        calls.exhaust(calls.gates.work, 2 * SEATS, is_busy=is_busy)
        for operation in sorted(operations):
            calls.exhaust(calls.gates.call(operation), PUBLISHED_LIMITS[operation].concurrent + 50, is_busy=is_busy)
        calls.loop.pass_time(after_s)
        calls.call(calls.gates.call(Operation.CANCEL), "t0")
        calls.loop.settle()
        assert calls.waits == [pytest.approx(0.0, abs=1e-6)], "isolation: a cancel waits for another operation's budget"


def cancel_all_at_once(weights: dict[str, float], jobs: dict[str, int]) -> tuple[int, list[float]]:
    """Every job of these tenants is cancelled in one moment, 100 ms each: refusals, and waits."""
    with Calls(seats=sum(jobs.values())) as calls:
        for name, count in jobs.items():
            for _ in range(count):
                calls.call(calls.gates.call(Operation.CANCEL), name, weight=weights[name], lasts_s=0.1)
        calls.loop.pass_time(TURN_S_MAX)
        return calls.refusals, calls.waits


def test_a_storm_of_cancels_is_never_refused_and_drains_at_its_rate() -> None:
    refusals, waits = cancel_all_at_once({"one": 1.0}, {"one": 400})
    assert refusals == 0, "isolation: a cancel was refused"
    assert len(waits) == 400
    assert max(waits) <= 45, "isolation: cancels drain slower than their rate"


def test_a_storm_of_cancels_of_a_light_and_a_heavy_tenant_is_never_refused() -> None:
    refusals, _ = cancel_all_at_once({"heavy": 10.0, "light": 1.0}, {"heavy": 300, "light": 100})
    assert refusals == 0, "isolation: a cancel was refused"


@given(st.integers(1, 4), st.integers(20, 200), st.floats(0.1, 0.9))
@steady(15)
def test_polls_within_a_tenant_s_share_wait_for_one_turn_at_most(floods: int, per_s: int, part: float) -> None:
    """Others poll without end; one polls at a part of its share, and is next whenever it asks."""
    order: FairQueue[tuple[str, float]] = FairQueue(of_calls(per_s, seats=per_s))
    gap_s, polls, asked, now_s = (1 + floods) / (part * per_s), 0, 0.0, 0.0
    for turn in range(400):
        now_s = turn / per_s
        for number in range(floods):
            order.enqueue((f"flood{number}", now_s + number * 1e-9), tenant=f"flood{number}", weight=1, now_s=now_s)
        if asked <= now_s:
            order.enqueue(("one", now_s), tenant="one", weight=1, now_s=now_s)
            asked += gap_s
        ticket = order.grant(now_s)
        assert ticket is not None
        order.release(tenant=ticket[0], cost=0.0, now_s=now_s)
        if ticket[0] == "one":
            polls += 1
            assert now_s - ticket[1] <= (1 + floods) / per_s + 1e-9, "isolation: polls wait beyond their share"
    assert polls >= int(400 / per_s / gap_s) - 1
