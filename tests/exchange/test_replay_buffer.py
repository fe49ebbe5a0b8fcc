import tracemalloc

import anyio
import msgspec
import pytest

from gateway.errors import IdempotencyError
from gateway.exchange import replay_buffer as module
from gateway.exchange.replay_buffer import ReplayBuffer


class Listener:
    """A client that keeps what it is told, and may be slow."""

    def __init__(self, buffer: ReplayBuffer) -> None:
        self.heard = b""
        self.is_finished = False
        self.may_read = anyio.Event()
        self.may_read.set()
        self._buffer = buffer

    async def listen(self) -> None:
        await self._buffer.tell(self)

    async def send(self, frames: bytes) -> None:
        await self.may_read.wait()
        self.heard += frames

    async def finish(self, body: bytes) -> None:
        await self.may_read.wait()
        self.heard += body
        self.is_finished = True


async def test_everybody_hears_everything_whenever_they_come() -> None:
    buffer = ReplayBuffer()
    early, late, latest = (Listener(buffer) for _ in range(3))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(early.listen)
        await buffer.send(b"one ")
        await anyio.wait_all_tasks_blocked()
        assert early.heard == b"one "
        tasks.start_soon(late.listen)
        await buffer.send(b"two ")
        await buffer.finish(b"three")
    await latest.listen()
    for each in (early, late, latest):
        assert (each.heard, each.is_finished) == (b"one two three", True)
    assert not buffer.has_listeners


async def test_what_is_kept_takes_no_more_than_its_size() -> None:
    buffer = ReplayBuffer()
    tracemalloc.start()
    try:
        for _ in range(100):
            await buffer.send(msgspec.json.encode("x" * 100_000))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.05 * buffer.size


async def test_a_failure_is_told_after_what_there_was() -> None:
    buffer, listener = ReplayBuffer(), Listener(ReplayBuffer())
    listener = Listener(buffer)
    await buffer.send(b"one")
    buffer.fail(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await listener.listen()
    assert listener.heard == b"one"


async def test_a_long_answer_waits_for_the_slowest_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_MAX", 100)
    buffer = ReplayBuffer()
    quick, slow = Listener(buffer), Listener(buffer)
    slow.may_read = anyio.Event()
    sent = 0

    async def make() -> None:
        nonlocal sent
        for _ in range(10):
            await buffer.send(b"x" * 40)
            sent += 1
        await buffer.finish(b"end")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(quick.listen)
        tasks.start_soon(slow.listen)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(make)
        await anyio.wait_all_tasks_blocked()
        assert sent <= 3
        assert not buffer.is_repeatable
        slow.may_read.set()
    assert quick.heard == slow.heard == b"x" * 400 + b"end"
    assert buffer.size <= 100


async def test_an_answer_without_room_waits_for_the_slowest_and_is_not_kept() -> None:
    asked: list[int] = []

    def has_room(size: int) -> bool:
        asked.append(size)
        return False

    buffer = ReplayBuffer(has_room)
    listener = Listener(buffer)

    async def make() -> None:
        for _ in range(10):
            await buffer.send(b"x" * 40)
        await buffer.finish(b"end")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.listen)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(make)
    assert (listener.heard, listener.is_finished) == (b"x" * 400 + b"end", True)
    assert not buffer.is_repeatable
    assert 40 < max(asked) < 200


async def test_a_last_part_without_room_is_waited_for() -> None:
    buffer = ReplayBuffer(lambda _size: False)
    slow = Listener(buffer)
    slow.may_read = anyio.Event()
    is_made = False

    async def make() -> None:
        nonlocal is_made
        await buffer.finish(b"x" * 400)
        is_made = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.listen)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(make)
        await anyio.wait_all_tasks_blocked()
        assert not is_made
        slow.may_read.set()
    assert is_made
    assert (slow.heard, slow.is_finished) == (b"x" * 400, True)


async def test_a_long_answer_without_listeners_is_made_and_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_MAX", 100)
    buffer = ReplayBuffer()
    with anyio.fail_after(1):
        for _ in range(10):
            await buffer.send(b"x" * 40)
    assert buffer.size <= 100


async def test_a_listener_that_leaves_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_MAX", 100)
    buffer = ReplayBuffer()
    slow = Listener(buffer)
    slow.may_read = anyio.Event()
    async with anyio.create_task_group() as tasks:
        leaving = anyio.CancelScope()

        async def listen() -> None:
            with leaving:
                await slow.listen()

        async def make() -> None:
            for _ in range(5):
                await buffer.send(b"x" * 40)

        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(make)
        await anyio.wait_all_tasks_blocked()
        leaving.cancel()
    assert not buffer.has_listeners


async def test_who_comes_too_late_for_the_beginning_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_MAX", 10)
    buffer = ReplayBuffer()
    await buffer.send(b"x" * 11)
    await buffer.send(b"the rest")
    late = Listener(buffer)
    with pytest.raises(IdempotencyError):
        await late.listen()
    assert late.heard == b""
