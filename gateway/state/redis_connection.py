"""Run a script on Redis or Valkey: one round trip, bounded in time, with its failures as a StoreError."""

from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.admission.lease_store import StoreError

ANSWER_S_MAX = 0.5
"""Maximum seconds for an answer. A slower heartbeat is given up: the next one carries everything again, and two lost
ones in a row must not be taken for silence."""


class RedisScript:
    """Run one script of this folder, on its own connections, with keys in one slot."""

    def __init__(self, url: str, *, file: str, prefix: str, names: tuple[str, ...]) -> None:
        """Register the script. `names` are the keys that it receives, each below the prefix."""
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=ANSWER_S_MAX, socket_connect_timeout=ANSWER_S_MAX, retry=Retry(NoBackoff(), 0)
        )
        self._script = self._redis.register_script(Path(__file__).with_name(file).read_text(encoding="utf-8"))
        # One hash tag: in a cluster all keys must be in one slot.
        self._keys = [f"{{{prefix}}}:{name}" for name in names]

    async def run(self, *arguments: bytes) -> Any:
        """Run the script and return its answer.

        Raises:
            StoreError: The store did not answer, or answered with an error.
        """
        try:
            return await self._script(keys=self._keys, args=arguments)
        except (RedisError, OSError) as error:
            if not isinstance(error, RedisConnectionError):
                # A demoted node answers READONLY from then on; another connection may reach the new one.
                await self._redis.connection_pool.disconnect()
            raise StoreError(type(error).__name__, is_refused=_is_refused(error)) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _is_refused(error: Exception) -> bool:
    """Return True if no server listens there or the server closed the connection: then it is gone for all clients."""
    return isinstance(error, RedisConnectionError) and isinstance(error.__cause__ or error.__context__, ConnectionError)
