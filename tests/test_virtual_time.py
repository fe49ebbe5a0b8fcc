"""The loop of the tests without servers: its time passes while nothing can run, and at no other time."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from tests.virtual_time import START_S, TURN_S, DeadlockError, LoopClock, VirtualTimeLoop

LONG_S = 1e6


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


async def test_sleepers_wake_in_their_order_and_at_their_time() -> None:
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        begun_s = anyio.current_time()
        await anyio.sleep(seconds)
        woken.append(anyio.current_time() - begun_s)

    async with anyio.create_task_group() as tasks:
        for seconds in (3 * LONG_S, LONG_S, 2 * LONG_S):
            tasks.start_soon(sleep, seconds)
    assert woken == pytest.approx([LONG_S, 2 * LONG_S, 3 * LONG_S], abs=100 * TURN_S)


async def test_a_task_that_polls_reaches_its_timeout() -> None:
    turns = 0
    with anyio.move_on_after(0.1) as scope:
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1
    assert scope.cancelled_caught
    assert turns == pytest.approx(0.1 / TURN_S, rel=0.01)


async def test_time_waits_for_threads() -> None:
    go_on = threading.Event()

    def work() -> str:
        go_on.wait(30)
        return "done"

    with anyio.fail_after(LONG_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep, 1.0)
            asyncio.get_running_loop().call_soon(threading.Timer(0.05, go_on.set).start)
            begun_s = anyio.current_time()
            assert await anyio.to_thread.run_sync(work) == "done"
            assert anyio.current_time() - begun_s < 0.5
            assert await asyncio.get_running_loop().run_in_executor(None, work) == "done"


async def test_time_waits_for_sockets() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        threading.Timer(0.05, theirs.send, (b"x",)).start()
        with anyio.fail_after(1):
            assert await asyncio.get_running_loop().sock_recv(ours, 1) == b"x"


async def test_a_busy_loop_is_late() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    clock, begun_s = LoopClock(), LoopClock().monotonic_s()
    loop.be_busy(2)
    with anyio.move_on_after(1):
        await anyio.sleep(0.5)
    assert clock.monotonic_s() - begun_s == pytest.approx(2.5, abs=100 * TURN_S)


def test_waiting_for_nothing_fails_at_once() -> None:
    with pytest.raises(DeadlockError):
        run(asyncio.Event().wait())


def test_the_clock_of_no_loop_is_at_the_beginning() -> None:
    clock = LoopClock()
    assert clock.monotonic_s() == START_S
    assert clock.unix_s() > 1_800_000_000
