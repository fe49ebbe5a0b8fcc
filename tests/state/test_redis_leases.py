"""The script, by itself: what one heartbeat gets, told by a real Redis."""

import secrets
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis import Redis

from gateway.admission.lease_store import Ask, Beat, BeatAnswer, OvertakenError
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
        return await self._store.beat(self._beat(target, want=want), self._name.encode())

    def _beat(self, target: int, *, want: int = 0, is_leaving: bool = False) -> Beat:
        ask = Ask("work", SEATS, self.rate, 10.0, self.epoch, self.limit, self.held, target, want)
        return Beat(self._name, self.incarnation, self._number, is_leaving, HOLD_S, LIVE_S, SETTLE_S, [ask])

    async def renew(self, target: int, **options: int) -> int:
        answer = await self.beat(target, **options)
        assert answer is not None
        self.epoch, self.limit = answer.grants[0].epoch, answer.grants[0].limit
        return self.limit

    async def leave(self) -> None:
        self._number += 1
        await self._store.beat(self._beat(0, is_leaving=True), b"")


class Replicas:
    """Replicas of one deployment, whose store has settled."""

    def __init__(self, server: RedisServer) -> None:
        self.clock = FakeClock()
        self._prefix = secrets.token_hex(4)
        self._redis = Redis.from_url(server.url)
        self._store = RedisLeases(server.url, prefix=self._prefix)
        self._store._script = ToldScript(self._store._script, self.clock)  # type: ignore[assignment]

    async def aclose(self) -> None:
        await self._store.aclose()
        self._redis.close()

    def plant(self, key: str, owner: str | bytes | None, record: bytes) -> None:
        """Store a record as another release or a fault would have it; the state has no owner."""
        name = f"{{{self._prefix}}}:{key}"
        if owner is None:
            self._redis.set(name, record)
        else:
            self._redis.hset(name, owner, record)  # type: ignore[arg-type]

    def stored(self, key: str) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self._redis.hgetall(f"{{{self._prefix}}}:{key}")  # type: ignore[assignment]
        return found

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


async def test_a_process_that_is_gone_stops_no_earlier_incarnation(replicas: Replicas) -> None:
    """The clock stepped back between two starts of one replica."""
    a, b = await replicas.named("a", "b")
    a.rate = b.rate = 0.0
    await a.renew(30)
    a.incarnation, a.epoch, a.limit = "earlier", 0, 0
    with pytest.raises(OvertakenError):
        await a.beat(20)
    await replicas.wait_beside(b, LIVE_S * 1.3)
    # What the one that is gone had is bound as after any restart.
    assert await a.renew(20) == 10
    assert await b.renew(40) == 0
    await replicas.wait_beside(a, HOLD_S * 1.2)
    assert await b.renew(40) == 30


async def test_a_lease_of_a_time_to_come_stops_nobody(replicas: Replicas) -> None:
    """The store's clock stepped back as well."""
    (a,) = await replicas.named("a")
    await a.renew(30)
    a.incarnation, a.epoch, a.limit = "earlier", 0, 0
    replicas.pass_time(-10 * LIVE_S)
    assert await a.beat(20) is not None
    assert await a.beat(20) is not None


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


async def test_a_goodbye_keeps_the_seats_of_jobs_that_could_not_be_ended(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    a.rate = b.rate = 0.0
    assert await a.renew(SEATS) == SEATS
    a.held = 3
    await a.renew(SEATS)
    await a.leave()
    assert await b.renew(SEATS) == SEATS - 3
    await replicas.wait_beside(b, HOLD_S * 1.2)
    assert await b.renew(SEATS) == SEATS


async def test_a_goodbye_frees_only_what_its_own_process_had(replicas: Replicas) -> None:
    a, b = await replicas.named("a", "b")
    await a.renew(30)
    late = Replica(replicas._store, "a")
    late.incarnation = "another"
    await late.leave()
    assert await b.renew(40) == 10
    await a.leave()
    assert await b.renew(40) == 40


pack = msgspec.msgpack.encode
GOOD = {"incarnation": "first", "number": 1, "seen": 0.0, "hold_s": HOLD_S, "classes": {}}
DAMAGED = {
    "a field less": pack({name: value for name, value in GOOD.items() if name != "seen"}),
    "a later version": pack({**GOOD, "version": 2}),
    "fields of other types": pack({**GOOD, "number": "1"}),
    "a class of another type": pack({**GOOD, "classes": {"work": [1, "2", 3, True]}}),
    "a time that never comes": pack({**GOOD, "hold_s": float("inf")}),
    "a time that is none": pack({**GOOD, "seen": float("nan")}),
    "an array": pack([1, 2]),
    "a number": pack(7),
    "no MessagePack": b"\xc1 garbage",
    "nothing": b"",
}


@pytest.mark.parametrize("owner", ["a", "stranger", b"\xff"])
@pytest.mark.parametrize("kind", DAMAGED)
async def test_a_damaged_lease_is_dropped_and_stops_nobody(replicas: Replicas, kind: str, owner: str | bytes) -> None:
    a, b = await replicas.named("a", "b")
    await a.renew(30)
    replicas.plant("leases", owner, DAMAGED[kind])
    answer = await b.beat(40)
    assert answer is not None
    # What the lost lease had may be in use: nothing is lent until everybody had time to report.
    assert (answer.unreadable, answer.is_learning, answer.grants[0].limit) == (1, True, 0)
    await a.renew(30)
    # "a" was told a limit that the store does not know: it waits for others as long as they may hold what it forgot.
    await replicas.wait_beside(a, HOLD_S + SETTLE_S)
    answer = await b.beat(40)
    assert answer is not None
    assert (answer.unreadable, answer.is_learning, answer.grants[0].limit) == (0, False, 10)
    assert set(replicas.stored("leases")) == {b"a", b"b"}


@pytest.mark.parametrize("kind", [*DAMAGED, "levels of another type"])
async def test_a_damaged_state_is_as_good_as_none(replicas: Replicas, kind: str) -> None:
    a, b = await replicas.named("a", "b")
    await a.renew(30)
    state = {"born": 0.0, "heard": replicas.clock.unix_s(), "learning_until": 0.0, "levels": {"work": "full"}}
    replicas.plant("state", None, DAMAGED.get(kind, pack(state)))
    assert (answer := await b.beat(40)) is not None
    assert answer.unreadable == (kind in DAMAGED)
    await a.renew(30)
    replicas.pass_time(SETTLE_S * 1.5)
    assert await b.renew(40) == 10


async def test_a_report_without_a_lease_is_deleted(replicas: Replicas) -> None:
    a, _b = await replicas.named("a", "b")
    replicas.plant("reports", "stranger", b"garbage")
    answer = await a.beat(1)
    assert answer is not None
    assert set(answer.reports) == {"b"}
    assert set(replicas.stored("reports")) == {b"a", b"b"}


async def test_a_lease_of_the_release_before_counts(replicas: Replicas) -> None:
    (a,) = await replicas.named("a")
    old = {**GOOD, "seen": replicas.clock.unix_s(), "classes": {"work": [1, 30, 30, True]}}
    replicas.plant("leases", "old", pack(old))
    assert await a.renew(40) == 10


async def test_the_release_before_reads_our_lease(replicas: Replicas) -> None:
    (a,) = await replicas.named("a")
    await a.renew(30)
    lease = msgspec.msgpack.decode(replicas.stored("leases")[b"a"])
    # What its script takes from a lease, by these names.
    assert {"incarnation", "number", "seen", "hold_s", "classes"} <= set(lease)
    assert lease["classes"]["work"][1:3] == [30, 30]
