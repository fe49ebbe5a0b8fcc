"""What Runpod might say: good replies, and each with something wrong in it, from one value to the whole of it."""

import copy
import json
import random
from typing import Any

import httpx
import msgspec
from hypothesis import strategies as st

from tests.contracts.test_dialects import RECORDINGS, Recording

RECORDED = [Recording(path) for path in RECORDINGS]
WHERE = {"id": "job-1", "delayTime": 500, "executionTime": 1000, "workerId": "w1"}
RAW: dict[str, bytes] = {
    # What no encoder writes: put in place of these texts.
    "@nan@": b"NaN",
    "@infinity@": b"-Infinity",
    "@long number@": b"1" + b"0" * 5000,
    "@exponent@": b"1e999",
    "@deep@": b"[" * 3000 + b"]" * 3000,
    "@deep object@": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "@surrogate@": b'"\\ud800"',
    "@not utf-8@": b'"\xff\xfe"',
    "@control@": b'"\x00\x01"',
    "@nested@": b"[" * 700 + b'"x"' + b"]" * 700,
}
TEXTS = [
    "", "x", "0", "-1", "1e400", "inf", "nan", "null", "[]", "data: [DONE]\n\n", "data: {\n\n", "\u2028", "\x00",
    "é" * 10,
    "IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "THINKING", "length", "abort",
    "a" * 1_000_000,
    'vLLM returned HTTP 400: {"error": {"message": "no", "code": "²"}}', "vLLM returned HTTP ٤٠٤: x", "{[]: 1}",
    "{'a': " + "(" * 300, '{"error_message": 5}', "Traceback (most recent call last): /a/b/c", "/" + "a/" * 4000, "²",
    "9" * 5000,
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, 10**30, -(10**400), [], {}, [None], [[]], {"a": None}, {"error": "x"},
    {"error": {}},
    {"error": {"message": None, "code": "²"}}, {"message": "m", "code": "9" * 5000}, {"object": "error", "code": 400},
    {"error": {"message": "m", "code": 10**30, "type": [], "param": 5}}, *TEXTS, *RAW,
]  # fmt: skip
NUMBERS: list[Any] = [
    0, -1, 1.5, 1e308, 10**10, 10**30, 10**400, -(10**400), "12", "inf", "-inf", "nan", None, True, "@long number@",
    "@exponent@",
]  # fmt: skip
BODIES = [
    b"", b" ", b"null", b"[]", b"{}", b"0", b'""', b"<html><body>524</body></html>", b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"\x1f\x8b\x08\x00\x00", b"[" * 100_000, b'{"a":' * 50_000, b"\x00" * 1000, b"x" * 1_000_000, b"data: [DONE]\n\n",
    b": x\n\n", b"data: {}\n\n", b"data: null\n\n", b"data: \xff\n\n", b"\r\r\r\n", b'{"error":"\\ud800"}',
    b"{" + b'"x":1,' * 1000,
]  # fmt: skip
SPOILS = ["edit", "edit", "body", "status", "fault", "slices", "again", "gone", "swap"]
STATUSES = [200] * 4 + [
    201,
    202,
    204,
    206,
    301,
    304,
    400,
    401,
    403,
    404,
    408,
    409,
    413,
    422,
    429,
    500,
    502,
    503,
    524,
    999,
]
RETRY_AFTER = ["1", "0", "-1", "nan", "inf", "1e9", "", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "0.001", "59"]
FAULTS: list[Exception] = [
    httpx.ConnectError("x"), httpx.ReadError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"),
    httpx.WriteError("x"), httpx.ConnectTimeout("x"),
]  # fmt: skip


SHOWN_LENGTH_MAX = 2000


class Reply:
    """One answer: its value, until something else takes the place of its body."""

    def __init__(self, value: Any, *, is_text: bool = False) -> None:
        self.status = 200
        self.retry_after: str | None = None
        self.value = value
        self.is_text = is_text
        """Whether the value is the pieces of a text and not JSON."""
        self.body: bytes | None = None
        self.edits: list[tuple[str, float]] = []
        self.slices = 1
        self.fault: tuple[Exception, bool] | None = None

    def __repr__(self) -> str:
        return repr({name: value for name, value in vars(self).items() if value})[:SHOWN_LENGTH_MAX]

    def encoded(self) -> bytes:
        body = self.body
        if body is None:
            body = (
                "".join(map(as_text, self.value)).encode("utf-8", "surrogatepass")
                if self.is_text and isinstance(self.value, list)
                else encode(self.value)
            )
        for kind, place in self.edits:
            body = edited(body, kind, int(place * len(body)))
        return body

    def pieces(self) -> list[bytes]:
        body = self.encoded()
        size = max(1, -(-len(body) // self.slices))
        return [body[start : start + size] for start in range(0, len(body), size)]


def as_text(output: Any) -> str:
    return output if isinstance(output, str) else encode(output).decode("utf-8", "replace")


def encode(value: Any) -> bytes:
    body = json.dumps(value).encode()
    for mark, instead in RAW.items():
        body = body.replace(f'"{mark}"'.encode(), instead)
    return body


def edited(body: bytes, kind: str, place: int) -> bytes:
    match kind:
        case "cut":
            return body[:place]
        case "drop":
            return body[:place] + body[place + 3 :]
        case "double":
            return body + body
        case "insert":
            return body[:place] + random.Random(place).randbytes(4) + body[place:]
        case "line":
            return body[:place] + b"\n\n" + body[place:]
        case _:
            return body[:place] + b"\x00" + body[place + 1 :]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Where something is, and what."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(path, value), *(place for key, item in items for place in places(item, (*path, key)))]


def is_event(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("data: {")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def changed(draw: st.DrawFn, value: Any, odd: list[Any], *, numbers_only: bool = False) -> Any:
    """The value with one thing in it replaced, taken away, or doubled; inside the text of an event too."""
    if is_event(value) and draw(st.integers(0, 3)):
        try:
            inner = msgspec.json.decode(value.removeprefix("data: ").replace("\ndata: ", "\n"))
        except msgspec.DecodeError:
            return draw(st.sampled_from(odd))
        inner = changed(draw, inner, odd, numbers_only=numbers_only)
        return "data: " + encode(inner).decode("utf-8", "replace") + "\n\n"
    inner_places = [
        path for path, inner in places(value) if path and (not numbers_only or is_event(inner) or is_number(inner))
    ]
    if not inner_places:
        return draw(st.sampled_from(odd))
    *way, last = draw(st.sampled_from(inner_places))
    value = copy.deepcopy(value)
    parent = value
    for step in way:
        parent = parent[step]
    match "change" if numbers_only else draw(st.sampled_from(["change", "change", "change", "take", "double"])):
        case "take":
            del parent[last]
        case "double" if isinstance(parent, list):
            parent.insert(last, copy.deepcopy(parent[last]))
        case _:
            parent[last] = changed(draw, parent[last], odd, numbers_only=numbers_only)
    return value


def good_replies(recording: Recording, outputs: list[Any], *, per_page: int, streams: bool) -> dict[str, list[Reply]]:
    """A job that goes well, told in pages or by its status alone; the relay of the same; and healthy workers."""
    groups = [outputs[start : start + per_page] for start in range(0, len(outputs), per_page)] if streams else []
    pages = [{"status": "IN_PROGRESS", "stream": [{"output": each} for each in group]} for group in groups]
    return {
        "run": [Reply({"id": "job-1", "status": "IN_QUEUE"})],
        "stream": [Reply(page) for page in [{"status": "IN_QUEUE", "stream": []}, *pages]]
        + [Reply({"status": "COMPLETED", "stream": []})],
        "status": [Reply({**WHERE, "status": "COMPLETED", "output": outputs})],
        "cancel": [Reply({**WHERE, "status": "CANCELLED"})],
        "health": [Reply({"jobs": {"inQueue": 0}, "workers": {"idle": 1, "running": 0}})],
        "openai": [Reply(outputs, is_text=True) if recording.is_text else Reply(outputs[0])],
    }


@st.composite
def scripts(draw: st.DrawFn, recording: Recording, *, uses: list[str]) -> dict[str, list[Reply]]:
    """Good replies with one to four things wrong, in those that are used."""
    outputs = copy.deepcopy(recording.outputs)
    streams = draw(st.integers(0, 3)) > 0
    script = good_replies(recording, outputs, per_page=draw(st.sampled_from([1, 2, 50])), streams=streams)
    for _ in range(draw(st.integers(1, 4))):
        spoil(draw, script, draw(st.sampled_from(uses)))
    return script


def spoil(draw: st.DrawFn, script: dict[str, list[Reply]], operation: str) -> None:
    """Something goes wrong in one of an operation's replies, or in their order."""
    replies = script[operation]
    index = draw(st.integers(0, len(replies) - 1))
    reply = replies[index]
    match draw(st.sampled_from(["value"] * 6 + ["number", "number", *SPOILS])):
        case "value":
            reply.value = changed(draw, reply.value, ODD)
        case "number":
            reply.value = changed(draw, reply.value, NUMBERS, numbers_only=True)
        case "edit":
            kind = draw(st.sampled_from(["cut", "drop", "double", "insert", "line", "zero"]))
            reply.edits.append((kind, draw(st.floats(0, 1))))
        case "body":
            reply.body = draw(st.one_of(st.sampled_from(BODIES), st.binary(max_size=40)))
        case "status":
            reply.status = draw(st.sampled_from(STATUSES))
            reply.retry_after = draw(st.none() | st.sampled_from(RETRY_AFTER))
        case "fault":
            reply.fault = (draw(st.sampled_from(FAULTS)), draw(st.booleans()))
        case "slices":
            reply.slices = draw(st.integers(2, 200))
        case "again":
            replies[index:index] = [reply] * draw(st.sampled_from([1, 1, 7, 40]))
        case "gone" if len(replies) > 1:
            del replies[index]
        case _:
            other = draw(st.integers(0, len(replies) - 1))
            replies[index], replies[other] = replies[other], replies[index]
