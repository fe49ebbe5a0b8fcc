import pytest

from gateway.admission.lease_store import StoreError
from gateway.state.redis_connection import RedisScript
from tests.redis_server import RedisServer

pytestmark = pytest.mark.server


def script(url: str) -> RedisScript:
    return RedisScript(url, file="lease.lua", prefix="x", names=("leases", "reports", "state"))


async def test_a_store_that_is_not_there() -> None:
    nobody = script("redis://127.0.0.1:1/0")
    with pytest.raises(StoreError) as caught:
        await nobody.run(b"", b"")
    await nobody.aclose()
    assert caught.value.is_refused


async def test_a_store_that_does_not_answer(redis: RedisServer) -> None:
    frozen = script(redis.url)
    redis.freeze()
    try:
        with pytest.raises(StoreError) as caught:
            await frozen.run(b"", b"")
    finally:
        redis.thaw()
        await frozen.aclose()
    assert not caught.value.is_refused


async def test_a_script_that_fails(redis: RedisServer) -> None:
    failing = script(redis.url)
    with pytest.raises(StoreError) as caught:
        await failing.run(b"not MessagePack", b"")
    await failing.aclose()
    assert not caught.value.is_refused
