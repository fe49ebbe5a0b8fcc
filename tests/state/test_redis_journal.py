"""The script, by itself: who inherits what, told by a real Redis."""

import secrets

import msgspec
import pytest
from redis import Redis

from gateway.events import Event, RecordsUnreadable
from gateway.jobs.journal import Entry, EntryAnswer, OpenJob
from gateway.state.redis_journal import DROPPED_MAX, RedisJournal
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer
from tests.told_redis import ToldScript

pytestmark = pytest.mark.server

SILENT_S = 0.2


def job(name: str) -> OpenJob:
    return OpenJob("http://x ep1", name, "acme", 1e9)


class Processes:
    """Processes of one deployment."""

    def __init__(self, server: RedisServer) -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        self._server = server
        self._prefix = secrets.token_hex(4)
        self._redis = Redis.from_url(server.url)
        self._journals: dict[str, RedisJournal] = {}

    async def write(
        self, process: str, *opened: str, closed: tuple[str, ...] = (), inherits: bool = True, **options: bool
    ) -> EntryAnswer:
        if (journal := self._journals.get(process)) is None:
            journal = self._journals[process] = RedisJournal(
                self._server.url, prefix=self._prefix, process=process, observe=self.events.append
            )
            journal._script = ToldScript(journal._script, self.clock)  # type: ignore[assignment]
        entry = {"is_recall": False, "is_leaving": False, **options}
        return await journal.write(
            Entry(
                opened=[job(name) for name in opened],
                closed=[job(name).key for name in closed],
                silent_s=SILENT_S if inherits else None,
                **entry,
            )
        )

    def plant(self, process: str, name: str, record: bytes) -> None:
        """Note a record under the name of a process, as another release or a fault would have it."""
        self._redis.hset(f"{{{self._prefix}}}:jobs:{process}", job(name).key, record)

    def damage(self, kind: str, process: str) -> None:
        """Leave a text where the script keeps something of another type for a process."""
        self._redis.set(f"{{{self._prefix}}}:{kind}{process}", "x")

    def know(self, process: str) -> None:
        """Have a process that was heard of long ago."""
        self._redis.zadd(f"{{{self._prefix}}}:processes", {process: 1})

    def records(self, process: str) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self._redis.hgetall(f"{{{self._prefix}}}:jobs:{process}")  # type: ignore[assignment]
        return found

    @property
    def unreadable(self) -> int:
        """How many records were told of as unreadable."""
        assert all(isinstance(each, RecordsUnreadable) for each in self.events)
        return sum(each.count for each in self.events if isinstance(each, RecordsUnreadable))

    async def inherited(self, process: str, **options: bool) -> set[str]:
        return {left.job_id for left in (await self.write(process, **options)).jobs}

    async def aclose(self) -> None:
        for journal in self._journals.values():
            await journal.aclose()
        self._redis.close()


@pytest.fixture
async def processes(redis: RedisServer):  # type: ignore[no-untyped-def]
    made = Processes(redis)
    yield made
    await made.aclose()


async def test_a_silent_process_has_one_heir(processes: Processes) -> None:
    assert not (await processes.write("a", "1", "2", "3")).was_known
    assert (await processes.write("a", closed=("2",))).was_known
    assert await processes.inherited("b") == set()
    processes.clock.now_s += SILENT_S + 0.1
    assert await processes.inherited("b", inherits=False) == set()
    found = [await processes.inherited("b"), await processes.inherited("c")]
    assert found == [{"1", "3"}, set()]
    # It lives after all, and is told that it was given up.
    assert not (await processes.write("a")).was_known


async def test_an_heir_that_dies_leaves_what_it_inherited(processes: Processes) -> None:
    await processes.write("a", "1")
    processes.clock.now_s += SILENT_S + 0.1
    assert await processes.inherited("b") == {"1"}
    processes.clock.now_s += SILENT_S + 0.1
    assert await processes.inherited("c") == {"1"}


async def test_what_is_left_with_a_goodbye_is_inherited_at_once(processes: Processes) -> None:
    await processes.write("a", "1", "2")
    await processes.write("a", closed=("1",), is_leaving=True)
    assert await processes.inherited("b") == {"2"}


async def test_a_recall_shows_everything_under_ones_name(processes: Processes) -> None:
    await processes.write("a", "1")
    await processes.write("b", "2")
    processes.clock.now_s += SILENT_S + 0.1
    assert await processes.inherited("b") == {"1"}
    assert await processes.inherited("b", is_recall=True) == {"1", "2"}


async def test_records_come_back_as_they_were(processes: Processes) -> None:
    await processes.write("a", "1")
    (record,) = (await processes.write("a", is_recall=True)).jobs
    assert record == job("1")


async def test_a_thousand_jobs_in_one_entry(processes: Processes) -> None:
    many = [str(number) for number in range(1000)]
    await processes.write("a", *many)
    await processes.write("a", closed=tuple(many[1:]), is_leaving=True)
    assert await processes.inherited("b") == {"0"}


class JobOf20260901(msgspec.Struct, frozen=True, array_like=True):
    """`OpenJob` as the release before this one has it, which notes no version."""

    endpoint: str
    job_id: str
    tenant: str
    expires_at_s: float
    request_id: str = ""
    attempt: int = 0
    key_id: str = ""
    model: str = ""
    started_at_s: float | None = None


class JobOfNextRelease(OpenJob, frozen=True, array_like=True):
    """One field more, which this release does not know."""

    price: str = "1"


pack = msgspec.msgpack.encode
OLD = JobOf20260901("http://x ep1", "1", "acme", 1e9, "r", 2, "k", "m", 3.5)
READABLE = {
    "of the release before": pack(OLD),
    "of the first release": pack(["http://x ep1", "1", "acme", 1e9]),
    "of the next release": pack(JobOfNextRelease("http://x ep1", "1", "acme", 1e9)),
}
DAMAGED = {
    "a field less than ever": pack(["http://x ep1", "1", "acme"]),
    "fields of other types": pack([1, 2, 3, 4]),
    "a number": pack(7),
    "a text": pack("http://x ep1"),
    "a map": pack({"endpoint": "http://x ep1"}),
    "no MessagePack": b"\xc1 garbage",
    "cut short": pack(OLD)[:-3],
    "no UTF-8": pack(OLD).replace(b"acme", b"\xff\xfe\xfd\xfc"),
    "nested deeply": b"\x91" * 100_000,
    "of another job": pack(JobOf20260901("http://x ep1", "another", "acme", 1e9)),
    "nothing": b"",
}


async def leave_behind(processes: Processes, record: bytes) -> None:
    """Let a process die that has one good job and this record of another one."""
    await processes.write("dead", "good")
    processes.plant("dead", "1", record)
    processes.clock.now_s += SILENT_S + 0.1


@pytest.mark.parametrize("kind", READABLE)
async def test_records_of_other_releases_are_read(processes: Processes, kind: str) -> None:
    await leave_behind(processes, READABLE[kind])
    assert await processes.inherited("heir") == {"good", "1"}
    assert not processes.events


async def test_the_release_before_reads_ours(processes: Processes) -> None:
    await processes.write("new", "1")
    (record,) = processes.records("new").values()
    read = msgspec.msgpack.decode(record, type=JobOf20260901)
    assert (read.endpoint, read.job_id, read.tenant, read.expires_at_s) == ("http://x ep1", "1", "acme", 1e9)


@pytest.mark.parametrize("kind", DAMAGED)
async def test_a_damaged_record_is_skipped_counted_and_deleted_by_the_heir(processes: Processes, kind: str) -> None:
    await leave_behind(processes, DAMAGED[kind])
    assert await processes.inherited("heir") == {"good"}
    assert processes.unreadable == 1
    assert set(processes.records("heir")) == {job("good").key.encode(), job("1").key.encode()}
    await processes.write("heir")
    assert set(processes.records("heir")) == {job("good").key.encode()}
    assert not processes.records("dead")
    processes.clock.now_s += SILENT_S + 0.1
    assert await processes.inherited("next heir") == {"good"}
    assert processes.unreadable == 1


async def test_a_record_of_a_later_version_is_kept_for_a_process_of_that_release(processes: Processes) -> None:
    await leave_behind(processes, pack(OpenJob("http://x ep1", "1", "acme", 1e9, version=2)))
    assert await processes.inherited("heir") == {"good"}
    await processes.write("heir")
    assert processes.unreadable == 1
    assert job("1").key.encode() in processes.records("heir")


async def test_three_thousand_damaged_records_are_deleted_in_turns(processes: Processes) -> None:
    await processes.write("dead", "good")
    for number in range(3 * DROPPED_MAX):
        processes.plant("dead", str(number), b"")
    processes.clock.now_s += SILENT_S + 0.1
    assert await processes.inherited("heir") == {"good"}
    assert processes.unreadable == 3 * DROPPED_MAX
    for _ in range(3):
        await processes.write("heir")
    assert set(processes.records("heir")) == {job("good").key.encode()}


@pytest.mark.parametrize("kind", ["jobs:", "processes:taken:"])
async def test_a_dead_process_whose_keys_are_of_another_type_stops_nobody(processes: Processes, kind: str) -> None:
    await processes.write("dead", "1")
    processes.know("ghost 1")
    processes.damage(kind, "ghost 1")
    processes.clock.now_s += SILENT_S + 0.1
    assert await processes.inherited("heir") == {"1"}
    assert processes.unreadable == 1
    assert (await processes.write("heir")).was_known
    assert processes.unreadable == 1


@pytest.mark.parametrize("kind", ["jobs:", "processes:taken:", "processes:returned:"])
async def test_own_keys_of_another_type_are_replaced(processes: Processes, kind: str) -> None:
    processes.damage(kind, "a")
    await processes.write("a", "1")
    assert processes.unreadable == 1
    assert set(processes.records("a")) == {job("1").key.encode()}


async def test_a_list_of_processes_of_another_type_begins_anew(processes: Processes) -> None:
    processes.damage("processes", "")
    assert not (await processes.write("a", "1")).was_known
    assert (await processes.write("a")).was_known


class TakenForDead(Processes):
    """Process "a" is silent for so long that "b" inherits its jobs 1, 2 and 3, and comes back."""

    async def bury(self) -> None:
        await self.write("a", "1", "2", "3")
        self.clock.now_s += SILENT_S + 0.1
        assert await self.inherited("b") == {"1", "2", "3"}


@pytest.fixture
async def buried(redis: RedisServer):  # type: ignore[no-untyped-def]
    made = TakenForDead(redis)
    await made.bury()
    yield made
    await made.aclose()


def keys(*names: str) -> set[str]:
    return {job(name).key for name in names}


async def test_a_process_that_lives_takes_back_what_its_heir_has_not_cancelled(buried: TakenForDead) -> None:
    await buried.write("b", closed=("2",))
    answer = await buried.write("a")
    assert (answer.was_known, set(answer.taken), answer.jobs) == (False, keys("1", "2", "3"), [])
    assert {each.decode() for each in buried.records("a")} == keys("1", "3")
    assert not buried.records("b")
    # It is told once: what comes next is as before.
    assert (await buried.write("a")).taken == []


async def test_an_heir_is_told_what_it_gave_back_until_it_has_closed_it(buried: TakenForDead) -> None:
    await buried.write("a", "4")
    for _ in range(2):
        # Its answer may be lost, and a recall writes down again what it had.
        answer = await buried.write("b", "1", "2", "3", is_recall=True)
        assert set(answer.given_back) == keys("1", "2", "3")
        assert not buried.records("b")
    assert set((await buried.write("b", closed=("1", "2"))).given_back) == keys("3")
    assert (await buried.write("b", closed=("3",))).given_back == []
    assert {each.decode() for each in buried.records("a")} == keys("1", "2", "3", "4")


async def test_jobs_come_back_from_the_heir_of_an_heir(buried: TakenForDead) -> None:
    buried.clock.now_s += SILENT_S + 0.1
    assert await buried.inherited("c") == {"1", "2", "3"}
    await buried.write("c", closed=("1",))
    answer = await buried.write("a")
    assert set(answer.taken) == keys("1", "2", "3")
    assert {each.decode() for each in buried.records("a")} == keys("2", "3")
    assert set((await buried.write("c")).given_back) == keys("2", "3")
    # The heir that died lives as well, and has nothing.
    assert set((await buried.write("b")).taken) == keys("1", "2", "3")


async def test_a_job_that_was_taken_back_may_be_inherited_again(buried: TakenForDead) -> None:
    await buried.write("a")
    await buried.write("b", closed=("1", "2", "3"))
    buried.clock.now_s += SILENT_S + 0.1
    answer = await buried.write("b")
    assert {each.job_id for each in answer.jobs} == {"1", "2", "3"}
    assert answer.given_back == []
    assert {each.decode() for each in buried.records("b")} == keys("1", "2", "3")
