"""A script on a Redis or Valkey: one round trip, bounded, and its failures as one of ours."""

from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.admission.lease_store import StoreError

ANSWER_S_MAX = 0.5
"""A heartbeat that takes longer is given up: the next one carries everything anew, and two that are lost in a row must
not be taken for silence."""


class RedisScript:
    """One script of this folder, on a connection of its own, with keys in one slot."""

    def __init__(self, url: str, *, file: str, prefix: str, names: tuple[str, ...]) -> None:
        """`names` are the keys that the script is given, each below the prefix."""
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=ANSWER_S_MAX, socket_connect_timeout=ANSWER_S_MAX, retry=Retry(NoBackoff(), 0)
        )
        self._script = self._redis.register_script(Path(__file__).with_name(file).read_text(encoding="utf-8"))
        # One hash tag: in a cluster all keys have to lie in one slot.
        self._keys = [f"{{{prefix}}}:{name}" for name in names]

    async def run(self, *arguments: bytes) -> Any:
        """Run it.

        Raises:
            StoreError: It was not answered.
        """
        try:
            return await self._script(keys=self._keys, args=arguments)
        except (RedisError, OSError) as error:
            if not isinstance(error, RedisConnectionError):
                # A node that was demoted answers READONLY for ever; another connection may find the new one.
                await self._redis.connection_pool.disconnect()
            raise StoreError(type(error).__name__, is_refused=_is_refused(error)) from error

    async def aclose(self) -> None:
        """Close its connections."""
        await self._redis.aclose()


def _is_refused(error: Exception) -> bool:
    """Whether nobody listens there, or who listened has gone: then it is gone for everybody."""
    return isinstance(error, RedisConnectionError) and isinstance(error.__cause__ or error.__context__, ConnectionError)
