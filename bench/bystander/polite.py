"""The polite client: short answers, one at a time and a few at once, each timed."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import anyio

TOKENS = 8
AT_ONCE = 4
KEY = "fp-bench-polite"
MODEL = "small"


class WrongAnswerError(Exception):
    """The polite client got something else than its answer."""


@dataclass(slots=True)
class Times:
    """What one phase measured, in milliseconds, by measure."""

    by_measure: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, measure: str, began_s: float) -> None:
        """Something that began then is over."""
        self.by_measure[measure].append((time.perf_counter() - began_s) * 1000)


async def measure(http: aiohttp.ClientSession, url: str, seconds: float) -> Times:
    """Ask for so long: half of the time one by one, half of it a few at once.

    Raises:
        WrongAnswerError: The gateway did not serve it; nothing was measured then.
    """
    times = Times()
    await _ask_for(http, url, seconds / 2, times, clients=1)
    await _ask_for(http, url, seconds / 2, times, clients=AT_ONCE)
    return times


async def _ask_for(http: aiohttp.ClientSession, url: str, seconds: float, times: Times, *, clients: int) -> None:
    end_s = time.perf_counter() + seconds

    async def again() -> None:
        while time.perf_counter() < end_s:
            for is_stream in (True, False):
                await _ask(http, url, times, f"{clients} at once", is_stream=is_stream)

    async with anyio.create_task_group() as tasks:
        for _ in range(clients):
            tasks.start_soon(again)


async def _ask(http: aiohttp.ClientSession, url: str, times: Times, clients: str, *, is_stream: bool) -> None:
    message = {"role": "user", "content": f"count to {TOKENS}"}
    body = {"model": MODEL, "stream": is_stream, "messages": [message]}
    began_s = time.perf_counter()
    async with http.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}) as answer:
        text = b""
        async for piece in answer.content.iter_any():
            if is_stream and not text:
                times.note(f"time to first chunk, {clients}", began_s)
            text += piece
    if not is_stream:
        times.note(f"whole answer, {clients}", began_s)
    if answer.status != 200 or (is_stream and b"data: [DONE]" not in text):
        raise WrongAnswerError(answer.status)


def measures() -> Sequence[str]:
    """The names under which times are kept."""
    kinds = ("time to first chunk", "whole answer")
    return [f"{kind}, {clients} at once" for clients in (1, AT_ONCE) for kind in kinds]
