"""Store the journal of open jobs in Redis or Valkey: one script, one round trip per entry."""

from itertools import islice

import msgspec

from gateway.admission.lease_store import RECORD_VERSION, RecordKind
from gateway.events import Observer, RecordsUnreadable
from gateway.jobs.journal import KEEP_S, TAKEN_S, Entry, EntryAnswer, OpenJob
from gateway.state.redis_connection import RedisScript
from gateway.wire.malformed import MALFORMED


class _Wants(msgspec.Struct, frozen=True, array_like=True):
    is_recall: bool
    is_leaving: bool
    silent_s: float
    keep_s: int
    taken_s: int
    closed: int


_pack = msgspec.msgpack.Encoder().encode
_read_job = msgspec.msgpack.Decoder(OpenJob).decode
DROPPED_MAX = 1000
"""Maximum number of damaged records that are deleted with one entry."""


class RedisJournal:
    """Store the journal of the process of this name at a URL."""

    def __init__(self, url: str, *, prefix: str, process: str, observe: Observer) -> None:
        self._process = process.encode()
        self._observe = observe
        self._damaged: dict[bytes, None] = {}
        """Names of this process's unreadable records that are still to be deleted."""
        self._script = RedisScript(url, file="journal.lua", prefix=prefix, names=("processes", "jobs"))

    async def write(self, entry: Entry) -> EntryAnswer:
        """Write an entry and return the store's answer.

        Raises:
            StoreError: The store did not answer; the entry may have been written.
        """
        damaged = list(islice(self._damaged, DROPPED_MAX))
        closed = [*(key.encode() for key in entry.closed), *damaged]
        wants = _Wants(
            is_recall=entry.is_recall,
            is_leaving=entry.is_leaving,
            silent_s=-1.0 if entry.silent_s is None else entry.silent_s,
            keep_s=KEEP_S,
            taken_s=TAKEN_S,
            closed=len(closed),
        )
        opened = [part for job in entry.opened for part in (job.key.encode(), _pack(job))]
        answer = await self._script.run(self._process, _pack(wants), *closed, *opened)
        for name in damaged:
            del self._damaged[name]
        known, taken, returned, unreadable, *jobs = answer
        if unreadable:
            self._observe(RecordsUnreadable(kind=RecordKind.OPEN_JOB, count=unreadable))
        return EntryAnswer(
            was_known=bool(known),
            jobs=self._jobs(jobs[::2], jobs[1::2]),
            taken=[name.decode(errors="replace") for name in taken],
            given_back=[name.decode(errors="replace") for name in returned],
        )

    def _jobs(self, names: list[bytes], records: list[bytes]) -> list[OpenJob]:
        """Return the jobs of the records that can be read.

        Unreadable records belong to this process now. Damaged ones are deleted; those of a later release stay, as the
        next process to inherit them may be of that release.
        """
        jobs = []
        for name, record in zip(names, records, strict=True):
            try:
                job = _read_job(record)
            except MALFORMED:
                self._damaged[name] = None
                continue
            if job.key.encode() != name:
                # A job under a name other than its own could never be closed.
                self._damaged[name] = None
            elif job.version <= RECORD_VERSION:
                jobs.append(job)
        if len(jobs) < len(records):
            self._observe(RecordsUnreadable(kind=RecordKind.OPEN_JOB, count=len(records) - len(jobs)))
        return jobs

    async def aclose(self) -> None:
        """Close the connections."""
        await self._script.aclose()
