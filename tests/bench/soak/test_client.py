"""An answer counts only where it is whole and right."""

import json
from typing import Any

import pytest

from bench.soak.client import End, Visited, judged
from bench.soak.plan import Visit


def visit(*, is_stream: bool) -> Visit:
    return Visit(at_s=0, tenant="one", route="job", is_stream=is_stream, tokens=3, leaves_after_s=None)


def stream(*texts: str, last: str = "[DONE]") -> bytes:
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": {"role": "assistant"}}]}]
    chunks += [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    events = [*map(json.dumps, [*chunks, {"choices": []}]), last]
    return b": comment\n\n" + "".join(f"data: {event}\n\n" for event in events).encode()


def body(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def refusal(code: str) -> bytes:
    return json.dumps({"error": {"code": code}}).encode()


def test_whole_answers() -> None:
    assert judged(200, body("1 2 3"), visit(is_stream=False)) == Visited(End.ANSWERED)
    assert judged(200, body("1 3"), visit(is_stream=False)) == Visited(End.FAILED, "other text")
    assert judged(200, b"1 2 3", visit(is_stream=False)).end is End.FAILED
    assert judged(200, b"{}", visit(is_stream=False)).end is End.FAILED


def test_streams() -> None:
    assert judged(200, stream("1", " 2", " 3"), visit(is_stream=True)) == Visited(End.ANSWERED)
    assert judged(200, stream("1", " 2"), visit(is_stream=True)) == Visited(End.FAILED, "other text")
    cut = judged(200, stream("1", last='{"error": {"code": "server_error"}}'), visit(is_stream=True))
    assert cut == Visited(End.FAILED, "stream without its end")
    assert judged(200, b"", visit(is_stream=True)).end is End.FAILED


@pytest.mark.parametrize(
    ("status", "code", "end"),
    [
        (429, "tenant_over_share", End.REFUSED),
        (503, "server_is_overloaded", End.REFUSED),
        (429, "server_is_overloaded", End.FAILED),
        (502, "server_error", End.FAILED),
    ],
)
def test_only_what_says_that_there_is_no_room_is_a_refusal(status: int, code: str, end: End) -> None:
    assert judged(status, refusal(code), visit(is_stream=True)) == Visited(end, f"{status} {code}")
