"""Whatever a worker writes, a client gets an answer or one of our own errors."""

import contextlib
import copy
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import GatewayError, UpstreamError
from gateway.exchange.answer import Answer, StreamedAnswer, WholeAnswer
from gateway.translate.chunks import ChunkWriter
from gateway.translate.completion import finish_completion
from gateway.translate.dialects.registry import DIALECTS
from gateway.translate.request import ClientRequest
from tests.contracts.test_dialects import RECORDINGS, Recording
from tests.effort import tries
from tests.factories import client_request, raw

ODD = st.sampled_from([None, "", 0, -1, 1.5, True, [], {}, [None], [[]], "x", {"a": None}, 10**30, "\u2028"])
RECORDED = [Recording(path) for path in RECORDINGS]


def as_objects(outputs: list[Any]) -> list[Any]:
    """Event text as the objects in it, so that their values can be changed."""
    if not all(isinstance(output, str) for output in outputs):
        return outputs
    events = [part.removeprefix("data: ") for part in "".join(outputs).split("\n\n")]
    try:
        return [msgspec.json.decode(event.replace("\ndata: ", "\n")) for event in events if event and event != "[DONE]"]
    except msgspec.DecodeError:
        return outputs


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def read_frames(frames: bytes) -> None:
    """Read a part of a stream as a client does."""
    for frame in frames.split(b"\n\n")[:-1]:
        msgspec.json.decode(frame.removeprefix(b"data: "))


def read_end(body: bytes) -> None:
    """Read the last part of a stream, or a whole body."""
    if body.endswith(b"data: [DONE]\n\n"):
        read_frames(body.removesuffix(b"data: [DONE]\n\n"))
    else:
        msgspec.json.decode(body)


def answer_to(request: ClientRequest) -> Answer:
    if not request.stream:
        return WholeAnswer(request, finish=finish_completion, answer_id="x", created_s=1, note_first=lambda: None)
    writer = ChunkWriter(request, answer_id="x", created_s=1)
    return StreamedAnswer(writer, note_first=lambda: None, note_chunks=lambda _: None)


@settings(max_examples=tries(600), deadline=None)
@given(st.data())
def test_odd_values_anywhere_end_in_an_answer_or_our_own_error(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(RECORDED), label="recording")
    outputs = copy.deepcopy(as_objects(recording.outputs))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from([place for place in places(outputs) if place]), label="place")
        inner: Any = outputs
        try:
            for step in way:
                inner = inner[step]
            inner[last] = copy.deepcopy(data.draw(ODD, label="value"))
        except (TypeError, KeyError, IndexError):
            continue
    stream = data.draw(st.booleans(), label="stream")
    request = client_request(stream=stream, stream_options={"include_usage": True})
    answer = answer_to(request)
    dialect = DIALECTS[recording.dialect_name](request, "org/real")
    try:
        for output in outputs:
            read_frames(answer.take(dialect.read(raw(output))))
        read_frames(answer.take(dialect.end()))
        read_end(answer.finish())
    except GatewayError:
        pass
    answer.usage()


DEEP = [
    "DEEP",
    '{"error":DEEP}',
    '{"object":"error","message":DEEP}',
    '{"usage":DEEP,"choices":DEEP}',
    '{"choices":[{"index":0,"delta":{"content":DEEP,"tool_calls":DEEP},"finish_reason":null}]}',
    '{"choices":[{"index":0,"message":{"content":DEEP,"tool_calls":[{"function":DEEP}]},"finish_reason":"stop"}]}',
    '[{"choices":[{"tokens":DEEP}],"usage":DEEP}]',
    '{"text":DEEP}',
]


LEVELS = (900, 1100, 9000, 100_000)
"""The reader of JSON takes a thousand on Python 3.11, and ten thousand on 3.13."""


def is_readable(text: str) -> bool:
    """Whether the reader of JSON still takes it, so that it may be passed on."""
    try:
        msgspec.json.decode(text)
    except RecursionError:
        return False
    return True


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_output_without_bottom_is_lost_output(dialect: str, stream: bool) -> None:
    for shape, levels, (begin, end) in itertools.product(DEEP, LEVELS, ("[]", ('{"a":', "}"))):
        deep = begin * levels + "1" + end * levels
        output = shape.replace("DEEP", deep)
        with contextlib.suppress(UpstreamError) if is_readable(deep) else pytest.raises(UpstreamError):
            tell(dialect, client_request(stream=stream), output)


def tell(dialect: str, request: ClientRequest, output: str) -> None:
    answer, reader = answer_to(request), DIALECTS[dialect](request, "org/real")
    read_frames(answer.take(reader.read(Raw(output.encode()))))
    read_frames(answer.take(reader.end()))
    read_end(answer.finish())
