"""Calls to an upstream that one day allows half of what it publishes, and tells nobody but by its 429s."""

import functools
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from random import Random

import anyio

from bench.fairness.replicas import NEVER_S, Network, TableStore, unwatched
from bench.fairness.virtual_loop import VirtualClock, run_virtually
from gateway.admission.capacity import Capacity, StaticCapacity
from gateway.admission.gate import Gate
from gateway.admission.lease_agent import LeaseAgent
from gateway.domain import PUBLISHED_LIMITS, Operation, OutagePolicy, Tenant
from gateway.fairshare.cost_model import of_calls
from tests.models.lease_table import LeaseTable

LIMIT = PUBLISHED_LIMITS[Operation.RUN]
WINDOW_S = 10.0
CALL_S = 0.05
CLIENTS = 40
"""At each replica."""
MEASURED_FROM_S = 20.0
REFUSED_MAX = 0.01
STEADY = NEVER_S
TENANT = Tenant(name="a")


@dataclass(frozen=True, kw_only=True)
class Case:
    """How many send, and when half of the limit goes."""

    replicas: int
    halves_at_s: float = 60.0
    ends_s: float = 360.0


CASES = {"one process": Case(replicas=1), "four replicas": Case(replicas=4)}


@dataclass
class HalvedRun:
    """When calls were taken, and when they were refused."""

    case: Case
    taken_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)

    def refused_part(self, from_s: float, to_s: float = NEVER_S) -> float:
        """The 429s among all calls of this time."""
        from_s = max(from_s, MEASURED_FROM_S)
        refused, taken = _between(self.refused_s, from_s, to_s), _between(self.taken_s, from_s, to_s)
        return refused / max(1, refused + taken)

    def use(self, from_s: float) -> float:
        """What was taken of what is allowed after the halving."""
        allowed = LIMIT.per_10s / 2 / WINDOW_S * (self.case.ends_s - from_s)
        return _between(self.taken_s, from_s, self.case.ends_s) / allowed

    @property
    def windows_to_calm(self) -> int:
        """After so many windows less than 1 % of all that follows is refused."""
        windows = int((self.case.ends_s - self.case.halves_at_s) / WINDOW_S)
        return next((each for each in range(windows) if self.refused_part(self.after(each)) < REFUSED_MAX), windows)

    def after(self, windows: int) -> float:
        """So many windows after the halving."""
        return self.case.halves_at_s + windows * WINDOW_S


def _between(times_s: list[float], from_s: float, to_s: float) -> int:
    return bisect_left(times_s, to_s) - bisect_left(times_s, from_s)


class _Upstream:
    """Takes so many calls in any ten seconds."""

    def __init__(self, case: Case) -> None:
        self.run = HalvedRun(case)
        self._window: deque[float] = deque()

    def call(self, now_s: float) -> bool:
        """Whether it was taken."""
        while self._window and self._window[0] <= now_s - WINDOW_S:
            self._window.popleft()
        is_halved = now_s >= self.run.case.halves_at_s
        is_taken = len(self._window) < LIMIT.per_10s / (2 if is_halved else 1)
        if is_taken:
            self._window.append(now_s)
        (self.run.taken_s if is_taken else self.run.refused_s).append(now_s)
        return is_taken


async def _client(gate: Gate, upstream: _Upstream, clock: VirtualClock) -> None:
    while True:
        async with gate.permit(TENANT, wait_s_max=NEVER_S) as permit:
            is_taken = upstream.call(clock.monotonic_s())
            await anyio.sleep(CALL_S)
            if is_taken:
                gate.accepted_upstream()
            else:
                gate.refused_upstream(permit, retry_after_s=None)


async def _run(case: Case) -> HalvedRun:
    upstream, clock, table, chance = _Upstream(case), VirtualClock(), LeaseTable(), Random(1)  # noqa: S311 - a simulation.
    cost_model = of_calls(LIMIT.per_10s / WINDOW_S, seats=LIMIT.concurrent)
    async with anyio.create_task_group() as tasks:
        for number in range(case.replicas):
            capacity: Capacity = StaticCapacity(LIMIT.concurrent, calls_per_10s=LIMIT.per_10s)
            if case.replicas > 1:
                leases = LeaseAgent(
                    TableStore(table, Network(), chance),
                    replica=str(number),
                    incarnation="1",
                    policy=OutagePolicy.SHARE,
                    clock=clock,
                    watch=unwatched,
                )
                capacity = leases.calls("run", LIMIT)
                tasks.start_soon(leases.run)
            gate = Gate(capacity, cost_model, clock=clock)
            for _ in range(CLIENTS):
                tasks.start_soon(_client, gate, upstream, clock)
        await anyio.sleep(case.ends_s)
        tasks.cancel_scope.cancel()
    return upstream.run


@functools.cache
def halved(case: Case) -> HalvedRun:
    """One run, the same each time."""
    return run_virtually(_run(case))
