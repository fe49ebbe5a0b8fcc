"""The script, by itself: what one heartbeat gets, told by a real Redis."""

import secrets
from collections.abc import AsyncIterator

import pytest

from gateway.admission.lease_store import Ask, Beat, BeatAnswer
from gateway.state.redis_leases import RedisLeases
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer
from tests.told_redis import ToldScript

pytestmark = pytest.mark.server

SEATS = 40
HOLD_S, LIVE_S, SETTLE_S = 0.6, 0.3, 0.1


class Replica:
    """One replica that says what a test lets it say, and remembers what it was told."""

    def __init__(self, store: RedisLeases, name: str) -> None:
        self.epoch = self.limit = self.held = 0
        self.incarnation = "first"
        self.rate = 100.0
        self._store = store
        self._name = name
        self._number = 0

    async def beat(self, target: int, *, want: int = 0, number: int | None = None) -> BeatAnswer | None:
        """A heartbeat."""
        self._number = self._number + 1 if number is None else number
        ask = Ask("work", SEATS, self.rate, 10.0, self.epoch, self.limit, self.held, target, want)
        return await self._store.beat(self._beat(ask), self._name.encode())

    def _beat(self, *asks: Ask) -> Beat:
        is_leaving = not asks
        return Beat(self._name, self.incarnation, self._number, is_leaving, HOLD_S, LIVE_S, SETTLE_S, list(asks))

    async def renew(self, target: int, **options: int) -> int:
        answer = await self.beat(target, **options)
        assert answer is not None
        self.epoch, self.limit = answer.grants[0].epoch, answer.grants[0].limit
        return self.limit

    async def leave(self) -> None:
        self._number += 1
        await self._store.beat(self._beat(), b"")


class Replicas:
    """Replicas of one deployment, whose store has settled."""

    def __init__(self, server: RedisServer) -> None:
        self.clock = FakeClock()
        self._store = RedisLeases(server.url, prefix=secrets.token_hex(4))
        self._store._script = ToldScript(self._store._script, self.clock)  # type: ignore[assignment]

    async def aclose(self) -> None:
        await self._store.aclose()

    async def named(self, *names: str) -> list[Replica]:
        made = [Replica(self._store, name) for name in names]
        for each in made:
            await each.renew(0)
        self.pass_time(SETTLE_S * 1.5)
        return made

    def pass_time(self, seconds: float) -> None:
        """Nobody says anything meanwhile."""
        self.clock.now_s += seconds

    async def wait_beside(self, other: Replica, seconds: float) -> None:
        """Time passes in which the store hears of one replica only."""
        end_s = self.clock.now_s + seconds
        while self.clock.now_s < end_s:
            self.pass_time(0.05)
            await other.renew(other.limit)


@pytest.fixture
async def replicas(redis: RedisServer) -> AsyncIterator[Replicas]:
    made = Replicas(redis)
    yield made
    await made.aclose()


async def test_seats_go_to_whoever_asks_until_there_are_none(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    assert await a.renew(30) == 30
    assert await b.renew(30) == 10


async def test_seats_move_only_when_the_one_that_has_them_confirmed_the_smaller_limit(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    await a.renew(40)
    assert await b.renew(20) == 0
    # It is told the smaller limit, and until it has said so it may use the larger one.
    await a.beat(20)
    assert await b.renew(20) == 0
    assert await a.renew(20) == 20
    assert await b.renew(20) == 0
    assert await a.renew(20) == 20
    assert await b.renew(20) == 20


async def test_seats_in_use_are_not_given_away(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    await a.renew(40)
    a.held = 35
    await a.renew(20)
    assert await a.renew(20) == 20
    # Its limit binds it below what it holds; others get what it has let go.
    assert await b.renew(20) == 5
    a.held = 30
    await a.renew(20)
    assert await b.renew(20) == 10


async def test_a_lost_answer_costs_nothing(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    await a.beat(30)
    assert await b.renew(30) == 10
    assert await a.renew(30) == 30


async def test_a_silent_replica_keeps_its_seats_for_a_while_and_no_longer(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    await a.renew(30)
    assert await b.renew(40) == 10
    await replicas.wait_beside(b, LIVE_S * 1.3)
    answer = await b.beat(40)
    assert answer is not None
    # Not heard of lately: its tenants count no more, its seats do.
    assert (answer.reports, answer.grants[0].silent, answer.grants[0].limit) == ({}, 30, 10)
    await replicas.wait_beside(b, HOLD_S)
    assert await b.renew(40) == 40


async def test_the_jobs_of_a_process_that_was_killed_go_on_without_it(replicas: Replicas) -> None:
    """What has no rate is work: its seats stay bound through a restart, for as long as silence is borne."""
    a, b = await replicas.named("a", "b")
    a.rate = b.rate = 0.0
    await a.renew(30)
    a.incarnation, a.epoch, a.limit = "second", 0, 0
    assert await a.renew(20) == 10
    assert await b.renew(40) == 0
    await replicas.wait_beside(a, HOLD_S * 1.2)
    await a.renew(20)
    assert await b.renew(20) == 20


async def test_goodbye_frees_at_once_and_so_does_a_restart(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    await a.renew(40)
    await a.leave()
    assert await b.renew(40) == 40
    b.incarnation, b.epoch, b.limit = "second", 0, 0
    assert await b.renew(0) == 0
    assert await a.renew(40) == 40


async def test_a_replica_that_was_forgotten_is_counted_with_what_it_still_has(replicas: Replicas) -> None:
    """It was cut off for longer than seats are kept, and others got them: nobody grows until it has let go."""
    a, b = await replicas.named("a", "b")
    await a.renew(30)
    await replicas.wait_beside(b, HOLD_S * 1.2)
    assert await b.renew(30) == 30
    a.held = 25
    assert await a.renew(20) == 20
    assert await b.renew(35) == 30
    a.held = 5
    await a.renew(5)
    await a.renew(5)
    assert await b.renew(35) == 35


async def test_an_overtaken_heartbeat_is_ignored(replicas: Replicas) -> None:
    (a,) = await replicas.named("a")
    await a.renew(10, number=7)
    assert await a.beat(40, number=6) is None
    assert await a.renew(10, number=8) == 10


async def test_a_store_that_lost_its_memory_gives_nothing_new_until_all_had_time_to_report(replicas: Replicas) -> None:
    a, b = Replica(replicas._store, "a"), Replica(replicas._store, "b")
    # What they had of the store before: it lost it, and has to believe them.
    a.epoch, a.limit, a.held = 4, 30, 12
    answer = await a.beat(40)
    assert answer is not None
    assert (answer.is_learning, answer.grants[0].limit) == (True, 30)
    assert await b.renew(10) == 0
    replicas.pass_time(SETTLE_S * 1.5)
    # Somebody had a lease, so others who had one may still be silent: for as long as silence is borne.
    assert await b.renew(10) == 0
    await replicas.wait_beside(a, HOLD_S)
    await a.renew(30)
    assert await b.renew(10) == 10


async def test_after_a_long_silence_of_all_the_first_one_back_gets_nothing_new(replicas: Replicas) -> None:
    """The store does not know what the others went on with."""
    a, b = await replicas.named("a", "b")
    await a.renew(10)
    await b.renew(20)
    replicas.pass_time(HOLD_S * 1.2)
    assert await a.renew(40) == 10
    assert await b.renew(40) == 20
    replicas.pass_time(SETTLE_S * 1.5)
    assert await a.renew(20) == 20


async def test_calls_are_granted_at_an_even_rate_to_all_together(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    granted = 0
    for _ in range(100):
        for each in (a, b):
            answer = await each.beat(0, want=1000)
            assert answer is not None
            granted += answer.grants[0].tokens
        replicas.pass_time(0.005)
    # 100 a second, and a burst of ten.
    assert granted == pytest.approx(60, abs=1)


async def test_reports_reach_the_others(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    await a.beat(0)
    answer = await b.beat(0)
    assert answer is not None
    assert answer.reports == {"a": b"a"}


async def test_a_goodbye_frees_only_what_its_own_process_had(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    await a.renew(30)
    late = Replica(replicas._store, "a")
    late.incarnation = "another"
    await late.leave()
    assert await b.renew(40) == 10
    await a.leave()
    assert await b.renew(40) == 40
