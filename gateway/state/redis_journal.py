"""Redis or Valkey as the journal of open jobs: one script, one round trip an entry."""

import msgspec

from gateway.exchange.journal import KEEP_S, Entry, EntryAnswer, OpenJob
from gateway.state.redis_script import RedisScript


class _Wants(msgspec.Struct, frozen=True, array_like=True):
    is_recall: bool
    is_leaving: bool
    silent_s: float
    keep_s: int
    closed: list[str]


_pack = msgspec.msgpack.Encoder().encode
_read_job = msgspec.msgpack.Decoder(OpenJob).decode


class RedisJournal:
    """A journal's store at a URL, for one process of this name."""

    def __init__(self, url: str, *, prefix: str, process: str) -> None:
        self._process = process.encode()
        self._script = RedisScript(url, file="journal.lua", prefix=prefix, names=("processes", "jobs"))

    async def write(self, entry: Entry) -> EntryAnswer:
        """Write an entry.

        Raises:
            StoreError: It was not answered, and may have been written.
        """
        wants = _Wants(
            is_recall=entry.is_recall,
            is_leaving=entry.is_leaving,
            silent_s=-1.0 if entry.silent_s is None else entry.silent_s,
            keep_s=KEEP_S,
            closed=entry.closed,
        )
        opened = [part for job in entry.opened for part in (job.key.encode(), _pack(job))]
        answer = await self._script.run(self._process, _pack(wants), *opened)
        return EntryAnswer(was_known=bool(answer[0]), jobs=[_read_job(record) for record in answer[2::2]])

    async def aclose(self) -> None:
        """Close its connections."""
        await self._script.aclose()
