"""The journal of open jobs, kept where all replicas read: what one process leaves behind, another one cancels.

Written behind the requests, never before them: a job is noted within a few hundredths of a second after Runpod took it.
What a process could not note any more, the job's own ttl ends.
"""

from collections.abc import Callable
from itertools import islice
from typing import Protocol

import anyio
import msgspec

from gateway.admission.lease_store import RECORD_VERSION, StoreError, StoreWatcher
from gateway.clock import Clock

BEAT_S = 0.5
"""How often a process is heard of that has nothing to note."""
GAP_S = 0.05
"""The pause between two entries: the jobs of a burst share one."""
SILENT_S = 10.0
"""After so long a silence a process is dead, to those who were in contact all that time themselves. One that lives may
stand still for seconds (a virtual machine that is moved, a disk or a log that blocks, a cgroup without CPU time), and
what it serves is worth more than a few seconds of a dead one's jobs: the cancels of a hundred take another 10 s anyway.
The store keeps the seats of a silent process for longer (`HOLD_S` in fairshare/lease.py): none is given away before."""
STILL_S_MAX = 2.0
"""Who was not heard itself for longer has lost contact. Processes that stood still together, as on a machine that was
suspended, seem dead to the first one that wakes: less than SILENT_S by more than a beat."""
KEEP_S = 8 * 86400
"""How long it is kept while nobody writes: no ttl is longer than a week."""
NEWS_S_MAX = 2.0
"""How long a request waits for the store to tell why its job ended: some beats, and the way back to a store."""
TAKEN_S = 3600
"""How long it is known who has the jobs of a process that was taken for dead. Most are cancelled within minutes."""
ENTRY_JOBS_MAX = 1000
CLOSED_MAX = 10_000
"""A job whose end was forgotten is cancelled once more, which does no harm."""
LEAVE_S_MAX = 1.0


class OpenJob(msgspec.Struct, frozen=True, array_like=True):
    """A job that runs, or waits, at Runpod."""

    endpoint: str
    """Runpod's own address of it, so that replicas which name it differently mean the same."""
    job_id: str
    tenant: str
    expires_at_s: float
    """When its ttl ends it, in seconds since 1970."""
    # An entry of an older process has none of these.
    request_id: str = ""
    attempt: int = 0
    key_id: str = ""
    model: str = ""
    started_at_s: float | None = None
    """When a worker was seen to have it, in seconds since 1970; noted anew then."""
    version: int = RECORD_VERSION

    @property
    def key(self) -> str:
        """What it is known by."""
        return f"{self.endpoint} {self.job_id}"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a process tells the journal."""

    opened: list[OpenJob]
    closed: list[str]
    is_recall: bool
    """Whether it asks for all that is noted under its name: it may have missed an answer."""
    is_leaving: bool
    silent_s: float | None
    """Whose jobs it inherits: of those silent for so long. None: of nobody."""


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal tells a process."""

    was_known: bool
    """Whether it had been heard of: if not, the store lost its memory, or gave its jobs to another."""
    jobs: list[OpenJob]
    taken: list[str] = []
    """Own jobs that another process had, as this one was taken for dead: any of them may have been cancelled."""
    given_back: list[str] = []
    """Inherited jobs whose process lives after all and has them back; told until they are closed."""


class JournalStore(Protocol):
    """Where entries go."""

    async def write(self, entry: Entry) -> EntryAnswer:
        """Write one.

        Raises:
            StoreError: It was not answered, and may have been written.
        """
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


def _ignore(*, is_up: bool, reason: str) -> None:
    """Tell nobody."""


class Journal:
    """The open jobs of this process. Noting one never waits; without a store it is all there is to do."""

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
        """Told of an inherited job that is its process's again."""
        self.taken: set[str] = set()
        """Own jobs, by key, that another process had for a while."""
        self._heard = anyio.Event()
        self.watch: StoreWatcher = _ignore
        """Told when entries begin to fail, and when one is written again."""
        self._is_up = True

    @property
    def has_store(self) -> bool:
        """Report whether what this process leaves open is known to others."""
        return self._store is not None

    def holds(self, key: str) -> bool:
        """Report whether another process will end this job, should this one leave it."""
        return self._store is not None and key in self._open

    def opened(self, job: OpenJob) -> None:
        """Runpod took a job, or more is known of it."""
        if self._store is not None:
            self._open[job.key] = self._opened[job.key] = job
            self._changed.set()

    def closed(self, job: OpenJob) -> None:
        """A job is over, or cancelled."""
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
        """Keep the journal until cancelled; `inherit` is given each job that a dead process left."""
        if self._store is None:
            return
        while True:
            await self._write(self._store, inherit)
            sent_at_s = self._clock.monotonic_s()
            with anyio.move_on_after(BEAT_S):
                await self._changed.wait()
                await anyio.sleep(max(0.0, sent_at_s + GAP_S - self._clock.monotonic_s()))

    async def was_taken(self, job: OpenJob) -> bool:
        """Return whether another process had a job of this one; after a silence, wait for the store to tell."""
        if self._store is not None and self._clock.monotonic_s() - self._heard_at_s > STILL_S_MAX:
            with anyio.move_on_after(NEWS_S_MAX):
                await self._heard.wait()
        return job.key in self.taken

    async def leave(self) -> None:
        """Say goodbye: what is still open is somebody else's. Best effort; silence says it too, later."""
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
            # It may have been written all the same, and be answered with jobs that are this one's now.
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
        """Let go of the jobs whose process lives, and confirm that; but not of those that it left once more since."""
        left_again = {job.key for job in answer.jobs} if answer.given_back else set()
        for key in answer.given_back:
            if key in left_again:
                continue
            if (mine := self._open.get(key)) is not None:
                self.give_back(mine)
                self.closed(mine)
            else:
                # Inherited with an answer that was lost, so that nothing is known of it here.
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
