"""The script, by itself: who inherits what, told by a real Redis."""

import secrets

import pytest

from gateway.exchange.journal import Entry, EntryAnswer, OpenJob
from gateway.state.redis_journal import RedisJournal
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
        self._server = server
        self._prefix = secrets.token_hex(4)
        self._journals: dict[str, RedisJournal] = {}

    async def write(
        self, process: str, *opened: str, closed: tuple[str, ...] = (), inherits: bool = True, **options: bool
    ) -> EntryAnswer:
        if (journal := self._journals.get(process)) is None:
            journal = self._journals[process] = RedisJournal(self._server.url, prefix=self._prefix, process=process)
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

    async def inherited(self, process: str, **options: bool) -> set[str]:
        return {left.job_id for left in (await self.write(process, **options)).jobs}

    async def aclose(self) -> None:
        for journal in self._journals.values():
            await journal.aclose()


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
