"""Redis or Valkey as the store where replicas meet: one script, one round trip a heartbeat."""

from pathlib import Path

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.admission.lease_store import Beat, BeatAnswer, Grant, StoreError

ANSWER_S_MAX = 0.5
"""A heartbeat that takes longer is given up: the next one carries everything anew, and two that are lost in a row must
not be taken for silence."""
_SCRIPT = Path(__file__).with_name("lease.lua").read_text(encoding="utf-8")
_OVERTAKEN = -1


class _Head(msgspec.Struct, frozen=True, array_like=True):
    state: int
    is_learning: bool
    grants: list[Grant]
    now_s: float = 0.0


_pack = msgspec.msgpack.Encoder().encode
_read_head = msgspec.msgpack.Decoder(_Head).decode


class RedisStore:
    """A store at a URL."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=ANSWER_S_MAX, socket_connect_timeout=ANSWER_S_MAX, retry=Retry(NoBackoff(), 0)
        )
        self._script = self._redis.register_script(_SCRIPT)
        # One hash tag: in a cluster all keys have to lie in one slot.
        self._keys = [f"{{{prefix}}}:{name}" for name in ("leases", "reports", "state")]

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer | None:
        """Send one heartbeat; None where a later one has overtaken it.

        Raises:
            StoreError: It was not answered.
        """
        try:
            answer = await self._script(keys=self._keys, args=[_pack(beat), report])
        except (RedisError, OSError) as error:
            if not isinstance(error, RedisConnectionError):
                # A node that was demoted answers READONLY for ever; another connection may find the new one.
                await self._redis.connection_pool.disconnect()
            raise StoreError(type(error).__name__, is_refused=_is_refused(error)) from error
        head = _read_head(answer[0])
        if head.state == _OVERTAKEN:
            return None
        reports = {answer[i].decode(): answer[i + 1] for i in range(1, len(answer), 2)}
        return BeatAnswer(is_learning=head.is_learning, grants=head.grants, reports=reports, now_s=head.now_s)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._redis.aclose()


def _is_refused(error: Exception) -> bool:
    """Whether nobody listens there, or who listened has gone: then it is gone for everybody."""
    return isinstance(error, RedisConnectionError) and isinstance(error.__cause__ or error.__context__, ConnectionError)
