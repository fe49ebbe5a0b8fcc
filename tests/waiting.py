"""Waiting in tests with servers: until a condition holds, and never for as long as something should take.

The bound only ends a test whose condition never comes true. It says nothing about speed, since everything may take long
on a busy machine. Promises about time are tested in virtual time, or by tests marked `alone`.

Calls of httpx that name no timeout wait as long; its own five seconds are less than a busy machine may need.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import httpx

T = TypeVar("T")
BOUND_S = 60.0
PAUSE_S = 0.01
MOMENT_S = 0.1

# There is one such object, which is the default of every function and class.
for _phase in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _phase, BOUND_S)


def eventually(condition: Callable[[], T], *, within_s: float = BOUND_S, or_show: Callable[[], object] = str) -> T:
    """Wait until the condition is true and return its value; `or_show` gives the message of the failure."""
    end_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end_s, or_show() or "it did not come true"
        time.sleep(PAUSE_S)
    return found


async def eventually_here(condition: Callable[[], T], *, within_s: float = BOUND_S) -> T:
    """Do the same as `eventually` in an event loop, whose other tasks go on meanwhile."""
    with anyio.fail_after(within_s):
        while not (found := condition()):
            await anyio.sleep(PAUSE_S)
    return found


async def eventually_none(problem: Callable[[], Awaitable[T | None]], *, within_s: float = BOUND_S) -> None:
    """Wait until `problem` returns None."""
    end_s = anyio.current_time() + within_s
    while (found := await problem()) is not None:
        assert anyio.current_time() < end_s, found
        await anyio.sleep(5 * PAUSE_S)


def a_moment() -> None:
    """Give an event that must not happen the time to happen: too short a wait can miss a fault, but not report one."""
    time.sleep(MOMENT_S)


async def a_moment_here() -> None:
    """Do the same as `a_moment` in an event loop."""
    await anyio.sleep(MOMENT_S)
