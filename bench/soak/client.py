"""The clients: each makes its visit, reads what comes to the end or leaves, and says how it went."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp
import anyio
import msgspec

from bench.soak.plan import TOKEN_S, Visit

PATIENCE_S = 120.0
REFUSALS = {429: {"tenant_over_share", "rate_limit_exceeded"}, 503: {"server_is_overloaded"}}
"""What the gateway may say where there is no room; everything else that is no answer has to be explained."""
_DATA, _DONE = b"data: ", b"[DONE]"


class End(StrEnum):
    """How a visit ended, as its client saw it."""

    ANSWERED = "answered"
    LEFT = "left"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Visited:
    """What came of a visit; `kind` says more of a refusal or a failure."""

    end: End
    kind: str = ""


def key_of(tenant: str) -> str:
    """The key of a tenant."""
    return f"fp-bench-{tenant}"


async def make(http: aiohttp.ClientSession, url: str, visit: Visit) -> Visited:
    """Ask, and read to the end or leave; a failure is a result too."""
    with anyio.move_on_after(visit.leaves_after_s if visit.leaves_after_s is not None else PATIENCE_S):
        try:
            return await _ask(http, url, visit)
        except aiohttp.ClientError as error:
            return Visited(End.FAILED, type(error).__name__)
    return Visited(End.FAILED, "no end") if visit.leaves_after_s is None else Visited(End.LEFT)


async def _ask(http: aiohttp.ClientSession, url: str, visit: Visit) -> Visited:
    body = {
        "model": visit.route,
        "stream": visit.is_stream,
        "messages": [{"role": "user", "content": f"count to {visit.tokens} #interval={TOKEN_S}"}],
    }
    headers = {"authorization": f"Bearer {key_of(visit.tenant)}"}
    async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
        text = await answer.read()
        return judged(answer.status, text, visit)


def judged(status: int, text: bytes, visit: Visit) -> Visited:
    """Whether it is the whole answer, a refusal, or something that should not be."""
    try:
        if status != 200:
            code = str(msgspec.json.decode(text)["error"]["code"])
            return Visited(End.REFUSED if code in REFUSALS.get(status, ()) else End.FAILED, f"{status} {code}")
        said = _streamed(text) if visit.is_stream else _whole(text)
    except (msgspec.DecodeError, KeyError, IndexError, TypeError):
        return Visited(End.FAILED, f"{status} not understood")
    if said is None:
        return Visited(End.FAILED, "stream without its end")
    is_right = said.split() == [str(number) for number in range(1, visit.tokens + 1)]
    return Visited(End.ANSWERED) if is_right else Visited(End.FAILED, "other text")


def _whole(text: bytes) -> str:
    answer: Any = msgspec.json.decode(text)
    return str(answer["choices"][0]["message"]["content"])


def _streamed(text: bytes) -> str | None:
    """What all chunks say together; None where the end mark is missing, as it is after an error."""
    events = [line.removeprefix(_DATA) for line in text.split(b"\n") if line.startswith(_DATA)]
    if not events or events.pop() != _DONE:
        return None
    chunks: list[Any] = [msgspec.json.decode(event) for event in events]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
