"""The production scripts on a real Redis, with the time given by the test, so that every run is the same."""

import secrets
from pathlib import Path

import anyio
import msgspec
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

import gateway.state
from gateway.admission.lease_store import Beat, BeatAnswer, StoreError
from gateway.clock import Clock
from gateway.state.redis_connection import RedisScript, _is_refused
from gateway.state.redis_leases import pack_beat, read_answer

CLOCK = "redis.call('TIME')"
TOLD_KEY = "told-time"
NETWORK_S = 0.001
"""From a replica to the store and back, in virtual time."""


def told(script: str) -> str:
    """Return the script with Redis's time replaced by the time that is stored under a key."""
    assert script.count(CLOCK) == 1
    return script.replace(CLOCK, f"cmsgpack.unpack(redis.call('GET', '{TOLD_KEY}'))")


def time_of(now_us: int) -> bytes:
    """Return the time in the form of TIME's reply: seconds and microseconds."""
    return msgspec.msgpack.encode([str(now_us // 1_000_000), str(now_us % 1_000_000)])


class ToldScript:
    """Replaces a `RedisScript`: the same connection, keys and answers, at a time that the test gives."""

    def __init__(self, script: RedisScript, clock: Clock) -> None:
        self._script = script
        self._clock = clock
        text = script._script.script
        script._script = script._redis.register_script(told(text.decode() if isinstance(text, bytes) else text))

    async def run(self, *arguments: bytes) -> object:
        await self._script._redis.set(TOLD_KEY, time_of(round(self._clock.unix_s() * 1e6)))
        return await self._script.run(*arguments)

    async def aclose(self) -> None:
        await self._script.aclose()


class ToldLeases:
    """The lease script, called without an event loop: while Redis works, virtual time stands still."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        text = Path(gateway.state.__file__).with_name("lease.lua").read_text()
        self._script = self._redis.register_script(told(text))
        self._keys: list[str] = []
        self.begin()

    def begin(self) -> None:
        """Switch to new keys, so that the store is empty."""
        self._keys = [f"{{{secrets.token_hex(6)}}}:{name}" for name in ("leases", "reports", "state")]

    def wipe(self) -> None:
        self._redis.delete(*self._keys)

    def beat(self, beat: Beat, report: bytes, now_us: int) -> BeatAnswer | None:
        self._redis.set(TOLD_KEY, time_of(now_us))
        return read_answer(self._script(keys=self._keys, args=[pack_beat(beat), report]))

    def close(self) -> None:
        self._redis.close()


class VirtualStore:
    """A lease store for agents in virtual time, on that script."""

    def __init__(self, leases: ToldLeases) -> None:
        self._leases = leases

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer | None:
        await anyio.sleep(NETWORK_S)
        try:
            return self._leases.beat(beat, report, round(anyio.current_time() * 1e6))
        except RedisConnectionError as error:
            raise StoreError(type(error).__name__, is_refused=_is_refused(error)) from error

    async def aclose(self) -> None:
        """Do nothing: the test owns the connection."""
