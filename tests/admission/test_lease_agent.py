"""Replicas on one real Redis: gates whose capacity is leased, in one process, each with an agent of its own.

Their time is virtual: what a heartbeat does is Redis's, when it comes is the test's.
"""

import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest

from gateway.admission.gate import Gate
from gateway.admission.lease_agent import LeaseAgent
from gateway.admission.lease_store import BeatAnswer, Grant, RecordKind
from gateway.domain import Limit, OutagePolicy, Tenant
from gateway.errors import NoTurnError, RefusedError, TenantLimitError
from gateway.fairshare.cost_model import of_calls, of_seats
from gateway.fairshare.quota import TenantQuota
from tests.factories import tenant
from tests.redis_server import RedisServer
from tests.told_redis import ToldLeases, VirtualStore
from tests.virtual_time import LoopClock

pytestmark = [pytest.mark.server, pytest.mark.virtual_time]

SEATS = 40
CALLS = Limit(per_10s=400, concurrent=40)
SETTLED_S = 2.6
"""A store without memory gives nothing until replicas had time to report."""


class Replica:
    """One process, as far as leases go."""

    def __init__(self, leases: ToldLeases, name: str, policy: OutagePolicy, incarnation: str) -> None:
        clock = LoopClock()
        self.changes: list[tuple[bool, str]] = []
        self.agent = LeaseAgent(
            VirtualStore(leases),
            replica=name,
            incarnation=incarnation,
            policy=policy,
            clock=clock,
            watch=self._note,
        )
        self.work = Gate(self.agent.seats("work", SEATS), of_seats(SEATS), clock=clock)
        self.calls = Gate(self.agent.calls("run", CALLS), of_calls(40, seats=40), clock=clock)
        self.quota = TenantQuota(tenant(name="a", max_in_flight=3))
        self.agent.watch_quotas({"a": self.quota})
        self.served: Counter[str] = Counter()

    def _note(self, *, is_up: bool, reason: str) -> None:
        self.changes.append((is_up, reason))

    async def client(self, who: Tenant, hold_s: float) -> None:
        """Ask again as soon as a turn is over."""
        while True:
            async with self.work.permit(who, wait_s_max=1000):
                await anyio.sleep(hold_s)
                self.served[who.name] += 1


@contextlib.asynccontextmanager
async def replicas(
    server: RedisServer,
    *names: str,
    policy: OutagePolicy = OutagePolicy.SHARE,
    settle: bool = True,
    incarnations: tuple[str, ...] = (),
) -> AsyncIterator[list[Replica]]:
    leases = ToldLeases(server.url)
    incarnations = incarnations or tuple(secrets.token_hex(4) for _ in names)
    made = [Replica(leases, name, policy, each) for name, each in zip(names, incarnations, strict=True)]
    async with anyio.create_task_group() as tasks:
        for each in made:
            tasks.start_soon(each.agent.run)
        if settle:
            await anyio.sleep(SETTLED_S)
        try:
            yield made
        finally:
            tasks.cancel_scope.cancel()
            for each in made:
                await each.agent.leave()
            leases.close()


def held(made: list[Replica]) -> Counter[str]:
    return sum((Counter(each.work.held) for each in made), Counter())


async def test_a_lone_tenant_on_one_of_three_replicas_gets_every_seat(redis: RedisServer) -> None:
    async with replicas(redis, "r1", "r2", "r3") as made, anyio.create_task_group() as tasks:
        for _ in range(60):
            tasks.start_soon(made[0].client, tenant(name="a"), 0.2)
        await anyio.sleep(1.5)
        assert held(made) == {"a": SEATS}
        tasks.cancel_scope.cancel()


async def test_tenants_share_by_weight_wherever_they_ask(redis: RedisServer) -> None:
    """One is on a single replica, the other on all three: half of the seats each, and never more than there are."""
    over: list[int] = []
    async with replicas(redis, "r1", "r2", "r3") as made, anyio.create_task_group() as tasks:
        for number in range(60):
            tasks.start_soon(made[0].client, tenant(name="a"), 0.1 + number / 500)
        for each in made:
            for number in range(40):
                tasks.start_soon(each.client, tenant(name="b"), 0.1 + number / 300)
        samples: list[Counter[str]] = []
        for _ in range(240):
            await anyio.sleep(0.02)
            samples.append(held(made))
            over.append(samples[-1].total() - SEATS)
        tasks.cancel_scope.cancel()
    late = sum(samples[120:], Counter())
    assert max(over) <= 0
    assert late["a"] / late.total() == pytest.approx(0.5, abs=0.03)
    assert late.total() >= 0.97 * SEATS * 120


async def test_calls_of_all_replicas_together_keep_the_rate(redis: RedisServer) -> None:
    sent: list[float] = []

    async def call(each: Replica) -> None:
        while True:
            async with each.calls.permit(tenant(name="a"), wait_s_max=1000):
                sent.append(anyio.current_time())

    async with replicas(redis, "r1", "r2", "r3") as made, anyio.create_task_group() as tasks:
        begun_s = anyio.current_time()
        for each in made:
            for _ in range(10):
                tasks.start_soon(call, each)
        await anyio.sleep(3)
        tasks.cancel_scope.cancel()
    # 400 in 10 s: 39 a second in the long run, and a burst of ten.
    assert 85 <= len(sent) <= 10 + 39 * (sent[-1] - begun_s) + 2


@pytest.mark.parametrize("policy", list(OutagePolicy))
async def test_a_store_that_goes_and_comes_back_empty(redis: RedisServer, policy: OutagePolicy) -> None:
    with contextlib.ExitStack() as stopped:
        async with replicas(redis, "r1", "r2", policy=policy) as (first, second):
            redis.stop()
            stopped.callback(redis.start)
            await anyio.sleep(3.2)
            assert first.changes == [(True, ""), (False, "ConnectionError")]
            # Spread evenly, as nobody asked for any.
            expected = {OutagePolicy.SHARE: SEATS // 2, OutagePolicy.CLOSED: 0, OutagePolicy.OPEN: SEATS}[policy]
            assert first.agent.is_ready is (policy is not OutagePolicy.CLOSED)
            granted = 0
            async with contextlib.AsyncExitStack() as stack:
                with contextlib.suppress(RefusedError):
                    while granted <= SEATS:
                        await stack.enter_async_context(first.work.permit(tenant(name="a"), wait_s_max=0.02))
                        granted += 1
            assert granted == expected
            stopped.close()
            await anyio.sleep(1.0)
            assert first.changes[2:] == [(True, "")]
            assert first.agent.is_ready is (policy is not OutagePolicy.CLOSED)
            # It believes what they say they have, and lends no more until all had time to say so.
            limits = [each.agent._capacities["work"].lease.limit for each in (first, second)]
            # Who had stopped has nothing, and a store that lost what it knew lends nothing as long as silence is borne.
            assert limits == [0, 0] if policy is OutagePolicy.CLOSED else [SEATS // 2, SEATS // 2]


async def test_a_new_process_on_a_new_store_waits_for_the_others(redis: RedisServer) -> None:
    async with replicas(redis, "r1", settle=False) as (first,):
        await anyio.sleep(0.3)
        assert not first.agent.is_ready
        with pytest.raises(NoTurnError):
            async with first.work.permit(tenant(name="a"), wait_s_max=0.1):
                pass
        async with first.work.permit(tenant(name="a"), wait_s_max=5) as permit:
            assert permit.wait_s < SETTLED_S
        assert first.agent.is_ready


async def test_caps_of_a_tenant_hold_over_all_replicas(redis: RedisServer) -> None:
    async with replicas(redis, "r1", "r2", settle=False) as (first, second):
        await anyio.sleep(0.6)
        for replica in (first, second, first):
            replica.quota.enter(0.0)
        await anyio.sleep(0.6)
        with pytest.raises(TenantLimitError):
            second.quota.enter(0.0)
        first.quota.leave(0.0, entered_at_s=0.0)
        await anyio.sleep(0.6)
        second.quota.enter(0.0)


async def test_a_goodbye_gives_everything_back_at_once(redis: RedisServer) -> None:
    async with replicas(redis, "r1", "r2") as (first, second), anyio.create_task_group() as tasks:
        await first.agent._store.beat(first.agent._beat(is_leaving=True), b"")
        first.agent._capacities.clear()
        for _ in range(60):
            tasks.start_soon(second.client, tenant(name="a"), 0.2)
        await anyio.sleep(1.5)
        assert held([second]) == {"a": SEATS}
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("policy", [OutagePolicy.SHARE, OutagePolicy.CLOSED])
async def test_the_older_of_two_living_processes_of_one_name_has_lost_the_store(
    redis: RedisServer, policy: OutagePolicy
) -> None:
    async with replicas(redis, "r1", "r1", policy=policy, settle=False, incarnations=("1", "2")) as (older, newer):
        told: list[str] = []
        older.agent.watch_overtaken(told.append)
        newer.agent.watch_overtaken(told.append)
        await anyio.sleep(2 * SETTLED_S)
        assert told == ["r1"]
        assert older.changes[-1] == (False, "OvertakenError")
        assert newer.changes == [(True, "")]
        assert (older.agent.is_up, newer.agent.is_up) == (False, True)
        if policy is OutagePolicy.CLOSED:
            assert older.agent._capacities["work"].lease.seats(anyio.current_time()) == 0
        # The one that is left has the name to itself, and may be overtaken once more.
        await newer.agent.leave()
        await older.agent.beat()
        assert older.changes[-1] == (True, "")
        await newer.agent.beat()
        await older.agent.beat()
        assert told == ["r1", "r1"]


async def test_other_seats_are_leased_with_the_next_heartbeats(redis: RedisServer) -> None:
    """One replica has taken the new configuration a moment before the other."""
    async with replicas(redis, "r1", "r2") as made, anyio.create_task_group() as tasks:
        for each in made:
            for _ in range(60):
                tasks.start_soon(each.client, tenant(name="a"), 0.05)
        for seats in (SEATS // 2, 2 * SEATS):
            for each in made:
                each.work.resize(seats, of_seats(seats), capped_wait_s_max=1000)
                await anyio.sleep(0.3)
            await anyio.sleep(1.5)
            assert sum(held(made).values()) == seats
        tasks.cancel_scope.cancel()


async def test_reports_that_cannot_be_read_are_skipped_and_told_of(redis: RedisServer) -> None:
    async with replicas(redis, "r1") as (replica,):
        told: Counter[RecordKind] = Counter()
        replica.agent.watch_unreadable(lambda kind, count: told.update({kind: count}))
        newer = msgspec.msgpack.encode(["first", {}, {}, {}, 2])
        answers = {"older": msgspec.msgpack.encode(["first"]), "newer": newer, "damaged": b"\xc1", "number": b"\x01"}
        replica.agent._apply(
            BeatAnswer(is_learning=False, grants=[Grant(1, 1, 1, 0)] * 2, reports=answers, now_s=0.0, unreadable=5),
            anyio.current_time(),
        )
        assert told == {RecordKind.REPORT: 3, RecordKind.LEASE: 5}
        assert replica.agent._reports.names == {"older"}
