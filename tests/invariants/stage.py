"""A gate on a virtual loop, the requests before it and under its permits, and what has to hold of them."""

import asyncio
from collections.abc import Callable
from typing import Self

import anyio

from gateway.admission.capacity import StaticCapacity
from gateway.admission.gate import Gate
from gateway.domain import Tenant
from gateway.errors import RefusedError
from gateway.fairshare.cost_model import of_calls, of_seats
from gateway.fairshare.overflow import QueueLimits
from tests.fakes.clock import FakeClock
from tests.invariants.virtual_loop import VirtualLoop

WINDOW_S = 10.0
TURNS_MAX = 10_000


class Visit:
    """One request: it asks, is sent under its permit or refused, and leaves when it is told."""

    def __init__(self, tenant: Tenant, *, wait_s_max: float, size: int) -> None:
        self.tenant = tenant
        self.wait_s_max = wait_s_max
        self.size = size
        self.asked_s: float | None = None
        self.outcome: str | None = None
        self.is_inside = False
        self.ends = asyncio.Event()
        self.farewell: Callable[[Gate, object], None] = lambda _gate, _permit: None
        self.scope: anyio.CancelScope | None = None
        self.task: asyncio.Task[None]


class Stage:
    """Everything that the gate needs, and a record of what was sent and when."""

    def __init__(self, seats: int, *, per_10s: int | None = None, limits: QueueLimits | None = None) -> None:
        self.clock = FakeClock()
        self.loop = VirtualLoop(self.clock)
        self.per_10s = per_10s
        self.capacity = StaticCapacity(seats, calls_per_10s=per_10s)
        cost_model = of_seats(seats) if per_10s is None else of_calls(per_10s / 10, seats=seats)
        self.limits = limits or QueueLimits()
        self.gate = Gate(self.capacity, cost_model, clock=self.clock, limits=self.limits)
        self.visits: list[Visit] = []
        self.sent_s: list[float] = []
        self._held_max = 0

    def submit(self, tenant: Tenant, *, wait_s_max: float = 1000.0, size: int = 0, **place: object) -> Visit:
        visit = Visit(tenant, wait_s_max=wait_s_max, size=size)
        visit.task = self.loop.create_task(self._run(visit, place))
        self.visits.append(visit)
        return visit

    async def _run(self, visit: Visit, place: dict[str, object]) -> None:
        visit.asked_s = self.clock.now_s
        try:
            with anyio.CancelScope() as visit.scope:
                async with self.gate.permit(
                    visit.tenant, wait_s_max=visit.wait_s_max, size=visit.size, **place
                ) as permit:
                    self.sent_s.append(self.clock.now_s)
                    visit.is_inside = True
                    await visit.ends.wait()
                    visit.farewell(self.gate, permit)
                    visit.outcome = "served"
        except RefusedError:
            visit.outcome = "refused"
        finally:
            visit.is_inside = False
            visit.outcome = visit.outcome or "left"

    def inside(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.is_inside]

    def present(self) -> list[Visit]:
        return [visit for visit in self.visits if not visit.task.done()]

    def waiting(self) -> list[Visit]:
        return [visit for visit in self.present() if visit.asked_s is not None and not visit.is_inside]

    def tick(self) -> None:
        """One tick, and after it everything that always holds."""
        self._held_max = max(self.gate.occupancy.held, self.capacity.seats(self.clock.now_s))
        self.loop.tick()
        self.check_caps()
        self.check_work_conservation()

    def settle(self) -> None:
        self.loop.settle(self.tick)
        self.check_waits()

    def pass_time(self, seconds: float) -> None:
        """Time passes over an idle loop: whatever is due goes off when it is due."""
        self.loop.pass_time(seconds, self.settle)

    def lag(self, seconds: float) -> None:
        """Time passes while the loop is busy: what is ready or due stays undone meanwhile."""
        self.clock.now_s += seconds

    def change_seats(self, seats: int) -> None:
        def change() -> None:
            self.gate.resize(seats, self.gate._cost_model, capped_wait_s_max=float("inf"))

        self.loop.call_soon(change)
        self.tick()

    def check_caps(self) -> None:
        now_s, held = self.clock.now_s, self.gate.occupancy.held
        assert held == sum(self.gate.held.values()), "caps: permits are counted once"
        assert held <= max(self._held_max, self.capacity.seats(now_s)), "caps: no more permits than seats"
        assert len(self.inside()) <= held, "caps: nobody is inside without a permit"
        assert self.gate.occupancy.waiting <= self.limits.tickets_max, "caps: the line is bounded"
        if self.per_10s is not None:
            recent = sum(at_s > now_s - WINDOW_S for at_s in self.sent_s)
            assert recent <= self.per_10s, "caps: no more calls than the window allows"

    def check_work_conservation(self) -> None:
        now_s, gate = self.clock.now_s, self.gate
        is_free = gate.occupancy.held < self.capacity.seats(now_s) and self.capacity.ready_at_s(now_s) <= now_s
        assert not (gate.has_line and is_free), "work conservation: somebody waits before free capacity"

    def check_waits(self) -> None:
        now_s = self.clock.now_s
        for visit in self.waiting():
            assert visit.asked_s is not None
            assert visit.asked_s + visit.wait_s_max >= now_s - 1e-6, "bounded waiting: a wait is over its bound"

    def drain(self) -> None:
        """Everybody inside leaves, in turn, until nobody is present; time passes where somebody has to wait for it."""
        for _ in range(TURNS_MAX):
            self.settle()
            if not self.present():
                return
            for visit in self.inside():
                visit.ends.set()
            self.settle()
            if self.present():
                due_s = min((timer.when() for timer in self.loop.timers()), default=self.clock.now_s)
                self.clock.now_s = max(self.clock.now_s, due_s)
        raise AssertionError("bounded waiting: somebody is never served and never refused")

    def cancel_all(self) -> None:
        for visit in self.present():
            visit.task.cancel()
        self.settle()

    def check_nothing_is_left(self) -> None:
        """No permit, ticket, byte, timer or task, by any of the counts."""
        check_gate_is_empty(self.gate)
        assert not self.present(), "leak: a request is still there"
        assert not self.loop.timers(), "leak: a timer"
        assert not asyncio.all_tasks(self.loop), "leak: a task"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.shut()


def check_gate_is_empty(gate: Gate) -> None:
    queue, occupancy = gate._queue, gate.occupancy
    assert (gate.held, occupancy.held) == ({}, 0), "leak: permits"
    assert (gate.waiting, occupancy.waiting, len(queue)) == ({}, 0, 0), "leak: tickets"
    assert occupancy.waiting_bytes == 0, "leak: bytes"
    assert (occupancy.weights(), occupancy.present_weight) == ({}, 0.0), "leak: a presence"
    accounts = queue._accounts.values()
    assert all((each.waiting, each.held, each.waiting_bytes) == (0, 0, 0) for each in accounts), "leak: counts"
    assert all(len(each.line) == 0 for each in accounts), "leak: a ticket in a line"
    assert not queue._next._current, "leak: a place in the order"
    assert not queue._floor._current, "leak: a place at the floor"
    assert not queue._overflow._heaviest._current, "leak: a place among the heaviest"
    assert not gate._timer.is_set, "leak: the gate's timer"
