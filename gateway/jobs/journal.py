"""Keep the journal of open jobs in the store that all replicas share: a dead process's jobs are cancelled by another.

It is written after the requests, and never delays them: a job is recorded a few hundredths of a second after Runpod
accepted it. A job that a process could not record is ended by its own ttl.
"""

from collections.abc import Callable
from itertools import islice
from typing import Protocol

import anyio
import msgspec

from gateway.admission.lease_store import RECORD_VERSION, StoreError, StoreWatcher
from gateway.clock import Clock

BEAT_S = 0.5
"""Seconds between entries of a process that has nothing to record."""
GAP_S = 0.05
"""Minimum seconds between two entries: the jobs of a burst share one."""
SILENT_S = 10.0
"""Seconds of silence after which a process is presumed dead, by processes that were in contact all that time. A live
process may stop for seconds (a virtual machine that is migrated, a disk or a log that blocks, a cgroup without CPU
time), and the requests that it serves are worth more than a few seconds of a dead process's jobs: cancelling a hundred
of them takes another 10 s in any case. The store keeps the seats of a silent process for longer (`HOLD_S` in
fairshare/lease.py): none is reassigned before."""
STILL_S_MAX = 2.0
"""Seconds since its own last entry after which a process has lost contact, and waits for SILENT_S again. Processes that
stopped together, as on a suspended machine, seem dead to the first one that resumes. Less than SILENT_S by more than a
beat."""
KEEP_S = 8 * 86400
"""Seconds for which the journal is kept while no process writes: no ttl is longer than a week."""
NEWS_S_MAX = 2.0
"""Maximum seconds that a request waits for the store to report why its job ended: several beats and a reconnection."""
TAKEN_S = 3600
"""Seconds for which the store records which process has the jobs of one that was presumed dead. Most of them are
cancelled within minutes."""
ENTRY_JOBS_MAX = 1000
CLOSED_MAX = 10_000
"""Maximum number of ended jobs to report. A job whose end was forgotten is cancelled once more, which is harmless."""
LEAVE_S_MAX = 1.0


class OpenJob(msgspec.Struct, frozen=True, array_like=True):
    """Describe a job that runs, or waits, at Runpod."""

    endpoint: str
    """Runpod's own address of it, so that replicas with different names for it refer to the same endpoint."""
    job_id: str
    tenant: str
    expires_at_s: float
    """Unix time in seconds at which its ttl ends it."""
    # Entries of older processes lack the following fields.
    request_id: str = ""
    attempt: int = 0
    key_id: str = ""
    model: str = ""
    started_at_s: float | None = None
    """Unix time in seconds at which a worker was first seen to have it; the job is recorded again at that time."""
    version: int = RECORD_VERSION

    @property
    def key(self) -> str:
        """Return the key of the job in the journal."""
        return f"{self.endpoint} {self.job_id}"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Represent what a process writes to the journal."""

    opened: list[OpenJob]
    closed: list[str]
    is_recall: bool
    """True if it requests everything recorded under its name, because it may have missed an answer."""
    is_leaving: bool
    silent_s: float | None
    """Silence in seconds after which it inherits another process's jobs; None to inherit none."""


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the journal's answer to a process."""

    was_known: bool
    """False if the store did not know the process: it lost its data, or gave the process's jobs to another."""
    jobs: list[OpenJob]
    taken: list[str] = []
    """Own jobs that another process took because this one was presumed dead: any of them may have been cancelled."""
    given_back: list[str] = []
    """Inherited jobs whose process is alive after all and has them back; repeated until they are closed."""


class JournalStore(Protocol):
    """Write entries to the shared store."""

    async def write(self, entry: Entry) -> EntryAnswer:
        """Write an entry.

        Raises:
            StoreError: There was no answer, and the entry may have been written.
        """
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


def _ignore(*, is_up: bool, reason: str) -> None:
    """Ignore the change."""


class Journal:
    """Hold the open jobs of this process. Recording a job never waits; without a store it does nothing."""

    def __init__(self, clock: Clock, store: JournalStore | None) -> None:
        self._clock = clock
        self._store = store
        self._open: dict[str, OpenJob] = {}
        self._opened: dict[str, OpenJob] = {}
        self._closed: dict[str, None] = {}
        self._changed = anyio.Event()
        self._is_recall = True
        self._heard_since_s: float | None = None
        self._heard_at_s = 0.0
        self.give_back: Callable[[OpenJob], None] = lambda _job: None
        """Called with an inherited job that its own process has again."""
        self.taken: set[str] = set()
        """Own jobs, by key, that another process had for a while."""
        self._heard = anyio.Event()
        self.watch: StoreWatcher = _ignore
        """Called when entries begin to fail, and when one succeeds again."""
        self._is_up = True

    @property
    def has_store(self) -> bool:
        """Return True if other processes know the jobs that this one leaves open."""
        return self._store is not None

    def holds(self, key: str) -> bool:
        """Return True if another process will end this job, should this one not end it."""
        return self._store is not None and key in self._open

    def opened(self, job: OpenJob) -> None:
        """Record a job that Runpod accepted, or of which more is known."""
        if self._store is not None:
            self._open[job.key] = self._opened[job.key] = job
            self._changed.set()

    def closed(self, job: OpenJob) -> None:
        """Record that a job has ended or was cancelled."""
        if self._store is None or self._open.pop(job.key, None) is None:
            return
        self._opened.pop(job.key, None)
        self.taken.discard(job.key)
        self._strike(job.key)

    def _strike(self, key: str) -> None:
        self._closed[key] = None
        if len(self._closed) > CLOSED_MAX:
            del self._closed[next(iter(self._closed))]

    async def run(self, inherit: Callable[[OpenJob], None]) -> None:
        """Write the journal until cancelled; `inherit` is called with each job that a dead process left."""
        if self._store is None:
            return
        while True:
            await self._write(self._store, inherit)
            sent_at_s = self._clock.monotonic_s()
            with anyio.move_on_after(BEAT_S):
                await self._changed.wait()
                await anyio.sleep(max(0.0, sent_at_s + GAP_S - self._clock.monotonic_s()))

    async def was_taken(self, job: OpenJob) -> bool:
        """Return True if another process took this job; after a silence, wait for the store to report it."""
        if self._store is not None and self._clock.monotonic_s() - self._heard_at_s > STILL_S_MAX:
            with anyio.move_on_after(NEWS_S_MAX):
                await self._heard.wait()
        return job.key in self.taken

    async def leave(self) -> None:
        """Leave the journal, so that other processes inherit the open jobs; best effort: silence does the same."""
        if self._store is None:
            return
        with anyio.move_on_after(LEAVE_S_MAX, shield=True):
            try:
                while len(self._opened) > ENTRY_JOBS_MAX:
                    entry = self._entry(is_leaving=False)
                    self._note_written(entry, was_known=(await self._store.write(entry)).was_known)
                await self._store.write(self._entry(is_leaving=True))
            except StoreError:
                pass
            finally:
                await self._store.aclose()

    async def _write(self, store: JournalStore, inherit: Callable[[OpenJob], None]) -> None:
        self._changed = anyio.Event()
        entry = self._entry(is_leaving=False)
        try:
            answer = await store.write(entry)
        except StoreError as error:
            self._lose_contact(error.reason)
            return
        except Exception as error:
            # It may have been written nevertheless, with an answer that gave jobs to this process.
            self._lose_contact(type(error).__name__)
            raise
        self._tell(is_up=True)
        self._note_written(entry, was_known=answer.was_known)
        self._give_back(answer)
        self.taken |= self._open.keys() & answer.taken
        self._heard.set()
        self._heard = anyio.Event()
        for job in answer.jobs:
            if job.key not in self._open and job.key not in self._closed:
                self._open[job.key] = job
                inherit(job)

    def _give_back(self, answer: EntryAnswer) -> None:
        """Release the jobs whose process is alive, and confirm that; except those that it has left again since."""
        left_again = {job.key for job in answer.jobs} if answer.given_back else set()
        for key in answer.given_back:
            if key in left_again:
                continue
            if (mine := self._open.get(key)) is not None:
                self.give_back(mine)
                self.closed(mine)
            else:
                # It was inherited with an answer that was lost, so nothing is known of it here.
                self._strike(key)

    def _lose_contact(self, reason: str) -> None:
        self._is_recall, self._heard_since_s = True, None
        self._tell(is_up=False, reason=reason)

    def _tell(self, *, is_up: bool, reason: str = "") -> None:
        if is_up is not self._is_up:
            self._is_up = is_up
            self.watch(is_up=is_up, reason=reason)

    def _entry(self, *, is_leaving: bool) -> Entry:
        now_s = self._clock.monotonic_s()
        if self._heard_since_s is not None and now_s - self._heard_at_s > STILL_S_MAX:
            self._heard_since_s = now_s
        is_sure = self._heard_since_s is not None and now_s - self._heard_since_s >= SILENT_S
        if self._is_recall:
            self._opened = dict(self._open)
        return Entry(
            opened=list(islice(self._opened.values(), ENTRY_JOBS_MAX)),
            closed=list(islice(self._closed, ENTRY_JOBS_MAX)),
            is_recall=self._is_recall,
            is_leaving=is_leaving,
            silent_s=SILENT_S if is_sure and not is_leaving else None,
        )

    def _note_written(self, entry: Entry, *, was_known: bool) -> None:
        self._heard_at_s = self._clock.monotonic_s()
        if self._heard_since_s is None:
            self._heard_since_s = self._heard_at_s
        elif not was_known:
            self._is_recall = True
            return
        self._is_recall = False
        for job in entry.opened:
            self._opened.pop(job.key, None)
        for key in entry.closed:
            self._closed.pop(key, None)
        if self._opened or self._closed:
            self._changed.set()
