"""Whole replicas on a virtual clock: the gateway's own gates and leases, and a store that answers as Redis does.

Only the network is simulated, and the calls themselves: a permit is held for as long as its request says.
"""

import asyncio
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import anyio
from anyio.abc import TaskGroup

from bench.fairness.measures import jain
from bench.fairness.virtual_loop import VirtualClock, run_virtually
from gateway.admission.capacity import StaticCapacity
from gateway.admission.gate import Gate
from gateway.admission.lease_agent import LeaseAgent
from gateway.admission.lease_store import Beat, BeatAnswer, StoreError
from gateway.admission.leased_capacity import LeasedCapacity
from gateway.domain import OutagePolicy, Tenant
from gateway.fairshare.cost_model import of_seats
from gateway.fairshare.lease import BEAT_S
from gateway.fairshare.overflow import QueueLimits
from tests.models.lease_table import LeaseTable

MEASURED_FROM_S = 60.0
"""A store without memory gives nothing at first, and who comes first gets everything."""
NEVER_S = 1e6
_LIMITS = QueueLimits(tickets_max=10**9, tenant_tickets_max=10**9)
SHARED, PARTS, SINGLE = "leases", "fixed parts", "one gate"


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """So many clients of a tenant at a replica, who ask again as soon as they were served."""

    tenant: Tenant
    replica: int
    clients: int
    asks_s: float = NEVER_S
    """So long they ask, and then not for as long, and so on."""

    def pause_s(self, now_s: float) -> float:
        """How long they do not ask."""
        turn, since_s = divmod(now_s, self.asks_s)
        return self.asks_s - since_s if turn % 2 else 0.0


@dataclass(frozen=True, kw_only=True)
class Network:
    """Between replicas and store, one way, in seconds."""

    delay_s: tuple[float, float] = (0.0002, 0.002)
    loss: float = 0.0
    is_in_step: bool = False
    """All replicas begin at the same instant; else each at another part of the period."""
    outage_s: tuple[float, float] = (NEVER_S, NEVER_S)
    is_wiped: bool = False
    """Whether the outage takes the store's memory."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Who asks where, for how long, and what goes wrong."""

    crowds: tuple[Crowd, ...]
    replicas: int = 4
    seats: int = 100
    hold_s: Callable[[Random], float]
    ends_s: float = 300.0
    network: Network = Network()
    crash_s: float = NEVER_S
    """When the last replica is killed; its clients go to the others."""
    way: str = SHARED
    seed: int = 1


@dataclass
class Life:
    """What happened, from the settling to the end."""

    scenario: Scenario
    seat_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    most: int = 0
    """Seats that were held at a time."""
    lost: int = 0
    """Seats that no living replica may use at the end."""

    @property
    def utilisation(self) -> float:
        """Of all seats: there are always more clients than those."""
        scenario = self.scenario
        return sum(self.seat_seconds.values()) / (scenario.seats * (scenario.ends_s - MEASURED_FROM_S))

    @property
    def overshoot(self) -> int:
        """Seats that were held beyond those that there are."""
        return max(0, self.most - self.scenario.seats)

    def share(self, tenant: str) -> float:
        """The tenant's part of what all were given."""
        return self.seat_seconds[tenant] / sum(self.seat_seconds.values())

    @property
    def jain(self) -> float:
        """Of what tenants were given by weight. All of them always wait."""
        weights = {crowd.tenant.name: crowd.tenant.weight for crowd in self.scenario.crowds}
        return jain([self.seat_seconds[name] / weight for name, weight in weights.items()])


class TableStore:
    """One replica's way to the store, which all share."""

    def __init__(self, table: LeaseTable, network: Network, chance: Random) -> None:
        self._table = table
        self._network = network
        self._chance = chance
        self._clock = VirtualClock()

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer | None:
        """Not answered in an outage, nor where anything is lost on the way."""
        await anyio.sleep(self._chance.uniform(*self._network.delay_s))
        begins_s, ends_s = self._network.outage_s
        now_s = self._clock.monotonic_s()
        if begins_s <= now_s < ends_s:
            if self._network.is_wiped:
                self._table.wipe()
            raise StoreError("ConnectionError", is_refused=True)
        if self._chance.random() < self._network.loss:
            await self._give_up()
        answer = self._table.beat(beat, report, now_s)
        await anyio.sleep(self._chance.uniform(*self._network.delay_s))
        if self._chance.random() < self._network.loss:
            await self._give_up()
        return answer

    async def _give_up(self) -> None:
        await anyio.sleep(1.0)
        raise StoreError("TimeoutError", is_refused=False)

    async def aclose(self) -> None:
        """Nothing is open."""


class _Fleet:
    """All replicas of one run."""

    def __init__(self, scenario: Scenario, tasks: TaskGroup) -> None:
        self.life = Life(scenario)
        self._scenario = scenario
        self._tasks = tasks
        self._clock = VirtualClock()
        self._chance = Random(scenario.seed)  # noqa: S311 - a simulation.
        self._table = LeaseTable()
        self._gates: list[Gate] = []
        self._leases: list[LeasedCapacity] = []
        self._scopes: list[dict[anyio.CancelScope, None]] = []
        """By replica: all that ends with it, in an order that is the same each time."""
        self._alive: list[int] = []
        self._held = 0

    async def run(self) -> None:
        """Start replicas, and then their clients."""
        scenario = self._scenario
        count = 1 if scenario.way == SINGLE else scenario.replicas
        for number in range(count):
            if number and not scenario.network.is_in_step and scenario.way == SHARED:
                await anyio.sleep(BEAT_S / count * self._chance.uniform(0.5, 1.5))
            self._start(number, count)
        for crowd in scenario.crowds:
            for _ in range(crowd.clients):
                self._tasks.start_soon(self._client, crowd, crowd.replica % count)
        if scenario.crash_s < scenario.ends_s:
            await anyio.sleep_until(scenario.crash_s)
            self._crash(count - 1)
        await anyio.sleep_until(scenario.ends_s)
        if self._leases:
            self.life.lost = scenario.seats - sum(self._leases[number].lease.limit for number in self._alive)

    def _start(self, number: int, count: int) -> None:
        scenario, clock = self._scenario, self._clock
        self._alive.append(number)
        self._scopes.append({})
        cost_model = of_seats(scenario.seats)
        if scenario.way != SHARED:
            part = scenario.seats // count + (number < scenario.seats % count)
            self._gates.append(Gate(StaticCapacity(part), cost_model, clock=clock, limits=_LIMITS))
            return
        store = TableStore(self._table, scenario.network, self._chance)
        leases = LeaseAgent(
            store, replica=f"r{number}", incarnation="1", policy=OutagePolicy.SHARE, clock=clock, watch=unwatched
        )
        self._leases.append(leases.seats("work", scenario.seats))
        self._gates.append(Gate(self._leases[-1], cost_model, clock=clock, limits=_LIMITS))
        self._tasks.start_soon(self._beat, leases, number)

    def _crash(self, number: int) -> None:
        """Nothing is said; what it had begun goes on without it, and its clients ask elsewhere."""
        self._alive.remove(number)
        for scope in list(self._scopes[number]):
            scope.cancel()

    async def _beat(self, leases: LeaseAgent, number: int) -> None:
        with self._until_crash(number):
            await leases.run()

    @contextmanager
    def _until_crash(self, number: int) -> Iterator[None]:
        with anyio.CancelScope() as scope:
            self._scopes[number][scope] = None
            try:
                yield
            finally:
                del self._scopes[number][scope]

    async def _client(self, crowd: Crowd, replica: int) -> None:
        while True:
            await anyio.sleep(crowd.pause_s(self._clock.monotonic_s()))
            number = replica if replica in self._alive else self._chance.choice(self._alive)
            with self._until_crash(number):
                async with self._gates[number].permit(crowd.tenant, wait_s_max=NEVER_S):
                    await self._work(crowd.tenant.name, number)

    async def _work(self, tenant: str, number: int) -> None:
        begun_s = self._clock.monotonic_s()
        ends_s = begun_s + self._scenario.hold_s(self._chance)
        self._held += 1
        self.life.most = max(self.life.most, self._held)
        try:
            await anyio.sleep_until(ends_s)
        finally:
            now_s = self._clock.monotonic_s()
            served_s = max(0.0, now_s - max(begun_s, MEASURED_FROM_S))
            self.life.seat_seconds[tenant] += served_s
            if number in self._alive:
                self._held -= 1
            else:
                asyncio.get_running_loop().call_at(ends_s, self._end_orphan)

    def _end_orphan(self) -> None:
        self._held -= 1


def unwatched(*, is_up: bool, reason: str) -> None:
    """Nobody is told of outages."""


async def _live(scenario: Scenario) -> Life:
    async with anyio.create_task_group() as tasks:
        fleet = _Fleet(scenario, tasks)
        await fleet.run()
        tasks.cancel_scope.cancel()
    return fleet.life


@functools.cache
def live(scenario: Scenario) -> Life:
    """One run, the same each time."""
    return run_virtually(_live(scenario))
