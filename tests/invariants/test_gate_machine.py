"""One gate, and every order of events that a random walk finds: asking, leaving, time, 429s and changing capacity."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from gateway.admission.gate import Gate
from gateway.admission.permit import Permit
from gateway.domain import Tenant
from gateway.fairshare.overflow import QueueLimits
from tests.invariants.profile import steady
from tests.invariants.stage import Stage, Visit

TENANTS = {name: Tenant(name=name, weight=weight) for name, weight in (("a", 1.0), ("b", 2.0), ("c", 5.0))}
LAG_S_MAX = 0.05
WAITS_S = [0.0, 0.5, 5.0, 30.0]
Farewell = Callable[[Gate, Permit], None]


def accept(gate: Gate, _permit: Permit) -> None:
    gate.accepted_upstream()


def refuse(retry_after_s: float | None) -> Farewell:
    return lambda gate, permit: gate.refused_upstream(permit, retry_after_s=retry_after_s)


def settle(cost: float) -> Farewell:
    return lambda gate, permit: gate.settle(permit, cost)


FAREWELLS = st.one_of(
    st.just(accept),
    st.sampled_from([None, 0.5, 3.0, 100.0]).map(refuse),
    st.floats(0, 30).map(settle),
)


class GateMachine(RuleBasedStateMachine):
    """Each step leaves tasks where they are: the next one may meet them at any await."""

    stage: Stage

    @initialize(
        seats=st.integers(1, 4),
        per_10s=st.sampled_from([None, 1, 3, 20, 100]),
        tickets_max=st.sampled_from([2, 5, 1000]),
        tenant_tickets_max=st.sampled_from([1, 4, 1000]),
    )
    def open(self, seats: int, per_10s: int | None, tickets_max: int, tenant_tickets_max: int) -> None:
        limits = QueueLimits(tickets_max=tickets_max, tenant_tickets_max=tenant_tickets_max)
        self.stage = Stage(seats, per_10s=per_10s, limits=limits)

    def one_of(self, visits: list[Visit], number: int) -> Visit:
        return visits[number % len(visits)]

    @rule(
        tenant=st.sampled_from(sorted(TENANTS)),
        wait_s_max=st.sampled_from(WAITS_S),
        size=st.integers(0, 9),
        member=st.sampled_from(["", "x"]),
        is_urgent=st.booleans(),
    )
    def submit(self, tenant: str, wait_s_max: float, size: int, member: str, is_urgent: bool) -> None:
        place = {"member": member, "is_urgent": is_urgent}
        self.stage.submit(TENANTS[tenant], wait_s_max=wait_s_max, size=size, **place)

    @rule(count=st.integers(2, 8), tenant=st.sampled_from(sorted(TENANTS)))
    def submit_many(self, count: int, tenant: str) -> None:
        for _ in range(count):
            self.stage.submit(TENANTS[tenant], wait_s_max=30.0)

    @rule()
    def tick(self) -> None:
        self.stage.tick()

    @rule()
    def come_to_rest(self) -> None:
        self.stage.settle()

    @precondition(lambda self: self.stage.inside())
    @rule(number=st.integers(0, 99), farewell=FAREWELLS)
    def finish(self, number: int, farewell: Farewell) -> None:
        visit = self.one_of(self.stage.inside(), number)
        visit.farewell = farewell
        visit.ends.set()

    @precondition(lambda self: self.stage.present())
    @rule(number=st.integers(0, 99))
    def cancel(self, number: int) -> None:
        self.one_of(self.stage.present(), number).task.cancel()

    @precondition(lambda self: self.stage.present())
    @rule(number=st.integers(0, 99))
    def cancel_the_scope(self, number: int) -> None:
        visit = self.one_of(self.stage.present(), number)
        if visit.scope is not None:
            self.stage.loop.call_soon(visit.scope.cancel)

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 5.05, 10.1, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.pass_time(seconds)

    @rule(seconds=st.floats(0.001, LAG_S_MAX))
    def the_loop_is_busy(self, seconds: float) -> None:
        self.stage.lag(seconds)

    @rule(seats=st.integers(1, 6))
    def capacity_changes(self, seats: int) -> None:
        self.stage.change_seats(seats)

    @rule(weights=st.dictionaries(st.sampled_from(sorted(TENANTS)), st.sampled_from([0.1, 1.0, 7.0])))
    def weights_change(self, weights: dict[str, float]) -> None:
        self.stage.gate.reweigh(weights)

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        try:
            # Whoever is left goes on one of the two ways out.
            if len(self.stage.visits) % 2:
                self.stage.cancel_all()
            else:
                self.stage.drain()
            self.stage.check_nothing_is_left()
        finally:
            self.stage.loop.shut()


def test_caps_work_conservation_bounded_waits_and_no_leak_hold_after_every_event() -> None:
    run_state_machine_as_test(GateMachine, settings=steady(300, 50))
