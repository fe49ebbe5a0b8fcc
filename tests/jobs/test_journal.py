import asyncio
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from gateway.admission.lease_store import StoreError
from gateway.jobs import journal as module
from gateway.jobs.journal import CLOSED_MAX, ENTRY_JOBS_MAX, Entry, EntryAnswer, Journal, OpenJob
from tests.fakes.clock import FakeClock
from tests.virtual_time import LoopClock, VirtualTimeLoop


def job(name: str) -> OpenJob:
    return OpenJob("http://x ep1", name, "acme", 1e9)


class Store:
    """A store that does as it is told, and can be out of reach before or after it has written."""

    def __init__(self) -> None:
        self.jobs: dict[str, OpenJob] = {}
        self.left: list[OpenJob] = []
        self.is_known = False
        self.entries: list[Entry] = []
        self.loses_answers = self.refuses = self.breaks = False
        self.taken: list[str] = []
        self.given_back: list[str] = []

    async def write(self, entry: Entry) -> EntryAnswer:
        self.entries.append(entry)
        if self.refuses:
            raise StoreError("refused", is_refused=True)
        if self.breaks:
            raise ValueError("no answer")
        was_known, self.is_known = self.is_known, True
        self.jobs |= {each.key: each for each in entry.opened}
        for key in entry.closed:
            self.jobs.pop(key, None)
        inherited = self.left if entry.silent_s is not None else []
        self.jobs |= {each.key: each for each in inherited}
        if inherited:
            self.left = []
        if self.loses_answers:
            raise StoreError("lost", is_refused=False)
        return EntryAnswer(
            was_known=was_known,
            jobs=list(self.jobs.values()) if entry.is_recall else inherited,
            taken=self.taken,
            given_back=self.given_back,
        )

    async def aclose(self) -> None:
        self.is_known = False


class Kept:
    """A journal, its store, and whom it inherited."""

    def __init__(self) -> None:
        self.clock, self.store = FakeClock(), Store()
        self.journal = Journal(self.clock, self.store)
        self.inherited: list[str] = []

    async def beat(self, after_s: float = 1.0) -> None:
        self.clock.now_s += after_s
        await self.journal._write(self.store, self._inherit)

    def _inherit(self, left: OpenJob) -> None:
        self.inherited.append(left.job_id)

    async def settle(self) -> None:
        """Until it is sure of its contact."""
        await self.beat()
        await self.beats(module.SILENT_S)

    async def beats(self, seconds: float) -> None:
        """So many seconds without a pause that would be a loss of contact."""
        for _ in range(round(seconds)):
            await self.beat(seconds / round(seconds))


def names(store: Store) -> set[str]:
    return {each.job_id for each in store.jobs.values()}


async def test_what_opens_is_noted_and_what_closes_is_struck() -> None:
    kept = Kept()
    for name in "abc":
        kept.journal.opened(job(name))
    await kept.beat()
    assert names(kept.store) == {"a", "b", "c"}
    kept.journal.closed(job("b"))
    kept.journal.opened(job("d"))
    kept.journal.opened(job("e"))
    kept.journal.closed(job("e"))
    await kept.beat()
    assert names(kept.store) == {"a", "c", "d"}
    assert not kept.inherited


async def test_a_journal_that_fails_is_told_of_once_and_so_is_its_return() -> None:
    kept = Kept()
    told: list[tuple[bool, str]] = []
    kept.journal.watch = lambda *, is_up, reason: told.append((is_up, reason))
    await kept.beat()
    assert told == []
    kept.store.refuses = True
    await kept.beat()
    await kept.beat()
    assert told == [(False, "refused")]
    kept.store.refuses = False
    await kept.beat()
    await kept.beat()
    assert told == [(False, "refused"), (True, "")]


async def test_a_journal_whose_answer_is_none_is_told_of_too() -> None:
    kept = Kept()
    told: list[tuple[bool, str]] = []
    kept.journal.watch = lambda *, is_up, reason: told.append((is_up, reason))
    kept.store.breaks = True
    with pytest.raises(ValueError, match="no answer"):
        await kept.beat()
    assert told == [(False, "ValueError")]


async def test_only_who_was_long_in_contact_inherits() -> None:
    kept = Kept()
    kept.store.left = [job("orphan")]
    await kept.beat()
    await kept.beats(module.SILENT_S / 2)
    assert not kept.inherited
    kept.store.refuses = True
    await kept.beat()
    kept.store.refuses = False
    await kept.beat()
    await kept.beats(module.SILENT_S / 2)
    assert not kept.inherited
    await kept.beats(module.SILENT_S / 2)
    assert kept.inherited == ["orphan"]
    assert names(kept.store) == {"orphan"}
    kept.journal.closed(job("orphan"))
    await kept.beat()
    assert not kept.store.jobs


async def test_orphans_that_came_with_a_lost_answer_are_recalled_and_own_jobs_are_not_taken_for_them() -> None:
    kept = Kept()
    await kept.settle()
    kept.journal.opened(job("own"))
    kept.journal.opened(job("over"))
    await kept.beat()
    kept.journal.closed(job("over"))
    kept.store.left, kept.store.loses_answers = [job("orphan")], True
    await kept.beat()
    kept.store.loses_answers = False
    await kept.beat()
    assert kept.inherited == ["orphan"]
    await kept.beat()
    assert kept.inherited == ["orphan"]
    assert names(kept.store) == {"own", "orphan"}


@pytest.mark.parametrize("is_wiped", [True, False])
async def test_a_store_that_forgot_is_told_everything_anew(is_wiped: bool) -> None:
    kept = Kept()
    kept.journal.opened(job("a"))
    await kept.settle()
    kept.store.is_known = False
    if is_wiped:
        kept.store.jobs = {}
    await kept.beat()
    await kept.beat()
    assert names(kept.store) == {"a"}
    assert not kept.inherited


async def test_entries_are_bounded_and_nothing_is_left_out() -> None:
    kept = Kept()
    many = [f"job-{number}" for number in range(2 * ENTRY_JOBS_MAX + 1)]
    for name in many:
        kept.journal.opened(job(name))
    for _ in range(4):
        await kept.beat()
    assert names(kept.store) == set(many)
    for name in many:
        kept.journal.closed(job(name))
    for _ in range(4):
        await kept.beat()
    assert not kept.store.jobs
    assert max(len(entry.opened) + len(entry.closed) for entry in kept.store.entries) <= ENTRY_JOBS_MAX


async def test_a_long_outage_does_not_fill_the_memory() -> None:
    kept = Kept()
    kept.store.refuses = True
    for number in range(3 * CLOSED_MAX):
        kept.journal.opened(job(str(number)))
        kept.journal.closed(job(str(number)))
    await kept.beat()
    assert len(kept.journal._closed) == CLOSED_MAX
    assert not kept.journal._opened
    assert not kept.journal._open


async def test_without_a_store_nothing_is_kept() -> None:
    journal = Journal(FakeClock(), None)
    journal.opened(job("a"))
    assert not journal._open
    await journal.run(lambda _: None)
    await journal.leave()


async def test_it_beats_by_itself_and_at_once_when_something_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    monkeypatch.setattr(module, "GAP_S", 0.0)
    kept = Kept()
    inherit: Callable[[OpenJob], None] = kept._inherit
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept.journal.run, inherit)
        with anyio.fail_after(5):
            while len(kept.store.entries) < 3:
                await anyio.sleep(0.01)
            kept.journal.opened(job("a"))
            while not kept.store.jobs:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await kept.journal.leave()
    assert kept.store.entries[-1].is_leaving


async def test_who_stood_still_itself_takes_nobody_for_dead() -> None:
    kept = Kept()
    await kept.settle()
    # A machine that was suspended: all its processes fell silent together, and one of them wakes first.
    kept.store.left = [job("alive")]
    await kept.beat(10.0)
    await kept.beat()
    assert not kept.inherited
    kept.store.left = [job("orphan")]
    await kept.settle()
    assert kept.inherited == ["orphan"]


async def test_a_job_whose_process_lives_is_given_back_and_closed_here() -> None:
    kept = Kept()
    given_back: list[OpenJob] = []
    kept.journal.give_back = given_back.append
    await kept.settle()
    kept.store.left = [job("orphan")]
    await kept.beat()
    kept.store.given_back = [job("orphan").key]
    await kept.beat()
    await kept.beat()
    assert given_back == [job("orphan")]
    assert kept.store.entries[-1].closed == [job("orphan").key]
    assert not kept.journal.holds(job("orphan").key)


async def test_a_job_is_given_back_whose_inheritance_was_never_heard_of() -> None:
    """The store tells of it with every answer until it is closed, and has it among the heir's until then."""
    kept = Kept()
    await kept.settle()
    kept.store.given_back = [job("orphan").key]
    await kept.beat()
    kept.store.given_back = []
    await kept.beat()
    assert kept.store.entries[-1].closed == [job("orphan").key]
    await kept.beat()
    assert not kept.store.entries[-1].closed


@pytest.mark.parametrize("is_held", [True, False])
async def test_a_job_that_is_left_again_in_the_same_moment_is_not_given_back(is_held: bool) -> None:
    kept = Kept()
    given_back: list[OpenJob] = []
    kept.journal.give_back = given_back.append
    await kept.settle()
    if is_held:
        kept.store.left = [job("orphan")]
        await kept.beat()
    kept.store.left = [job("orphan")]
    kept.store.given_back = [job("orphan").key]
    await kept.beat()
    assert not given_back
    assert kept.inherited == ["orphan"]
    assert kept.journal.holds(job("orphan").key)
    await kept.beat()
    assert not kept.store.entries[-1].closed


async def test_what_another_process_had_is_known_until_it_is_closed() -> None:
    kept = Kept()
    kept.journal.opened(job("a"))
    kept.journal.opened(job("b"))
    await kept.settle()
    kept.store.taken = [job("a").key, job("unknown").key]
    await kept.beat()
    assert [await kept.journal.was_taken(job(name)) for name in ("a", "b", "unknown")] == [True, False, False]
    kept.store.taken = []
    kept.journal.closed(job("a"))
    assert not kept.journal.taken


async def test_after_a_silence_the_news_of_a_taken_job_is_waited_for() -> None:
    journal, store = Journal(LoopClock(), Store()), Store()
    journal._store = store
    journal.opened(job("a"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal.run, lambda _: None)
        await anyio.sleep(1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.be_busy(module.SILENT_S + 1)
        store.taken = [job("a").key]
        # Asked before the journal had a turn.
        assert await journal.was_taken(job("a"))
        store.refuses = True
        loop.be_busy(module.SILENT_S + 1)
        begin_s = anyio.current_time()
        assert not await journal.was_taken(job("b"))
        assert anyio.current_time() - begin_s == pytest.approx(module.NEWS_S_MAX, abs=0.1)
        tasks.cancel_scope.cancel()


async def test_an_answer_that_cannot_be_read_is_recalled_and_reported() -> None:
    kept = Kept()
    await kept.settle()

    async def write(_entry: Entry) -> EntryAnswer:
        raise ZeroDivisionError

    good = kept.store.write
    kept.store.write = write  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        await kept.beat()
    kept.store.write = good  # type: ignore[method-assign]
    await kept.beat()
    assert kept.store.entries[-1].is_recall
