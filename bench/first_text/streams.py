"""Streams of one client, and when their text came."""

import re
import time
from dataclasses import dataclass, field

import aiohttp
import anyio

_TEXT = re.compile(rb'"content":"[^"]')


@dataclass(slots=True)
class Stream:
    """What came of one request. Times are seconds since it was sent."""

    status: int = 0
    first_text_s: float | None = None
    arrivals_s: list[float] = field(default_factory=list)
    """When text came, each time."""

    @property
    def gaps_s(self) -> list[float]:
        """Seconds between two arrivals of text."""
        return [late - early for early, late in zip(self.arrivals_s, self.arrivals_s[1:], strict=False)]


async def read_stream(http: aiohttp.ClientSession, url: str, *, words: int, key: str, after_s: float) -> Stream:
    """Send a request after a while, and read its whole answer."""
    await anyio.sleep(after_s)
    stream = Stream()
    text = " ".join(f"w{number}" for number in range(words))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    sent_at_s = time.monotonic()
    async with http.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}) as answer:
        stream.status = answer.status
        async for piece in answer.content.iter_any():
            if _TEXT.search(piece):
                stream.arrivals_s.append(time.monotonic() - sent_at_s)
    if stream.arrivals_s:
        stream.first_text_s = stream.arrivals_s[0]
    return stream


async def read_upstream(http: aiohttp.ClientSession, url: str, *, words: int, after_s: float) -> float:
    """Return when the endpoint's own route has its first text, without a gateway, in seconds."""
    await anyio.sleep(after_s)
    text = " ".join(f"w{number}" for number in range(words))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    sent_at_s = time.monotonic()
    async with http.post(f"{url}/openai/v1/chat/completions", json=body) as answer:
        first_s = 0.0
        async for piece in answer.content.iter_any():
            if not first_s and _TEXT.search(piece):
                first_s = time.monotonic() - sent_at_s
    return first_s
