"""What is written for a chunk that is the one before it with another text is what would be written for it anyway."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, Api
from gateway.errors import GatewayError, OutputLostError
from gateway.translate.chunk_template import TRIES_MAX, ChunkTemplateReader
from gateway.translate.chunks import ChunkWriter
from gateway.translate.completion import split_completion
from gateway.translate.dialects.contract import Chunk, Damage, Delta
from gateway.translate.dialects.openai_object import read_object
from gateway.translate.dialects.openai_stream import OpenAIReader
from gateway.wire.sse import EventReader
from tests.effort import tries
from tests.factories import client_request

TEXTS = st.text() | st.sampled_from(
    ["", " word", "\n", '"', '\\"', "\\", "\u2028", "é", "\ud83d\ude00", '"content":"x"']
)
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def chunk(**choice: Any) -> dict[str, Any]:
    return {"id": "a", "object": "chat.completion.chunk", "choices": [{"index": 0, "finish_reason": None, **choice}]}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {**chunk(delta={"content": text}), **more}


def UNCOUNTED(text: str) -> dict[str, Any]:  # noqa: N802 - a kind, as a value.
    """A text that is not what counts as the answer's."""
    return chunk(delta={"reasoning": {"content": text}})


KINDS: list[Callable[[str], dict[str, Any]]] = [
    said,
    lambda text: said(text, id="b"),
    lambda text: said(text, usage=USAGE),
    lambda text: {"content": text, **said(text)},
    lambda text: {"content": "word", **said(text)},
    lambda text: chunk(delta={"content": text, "reasoning_content": text}),
    UNCOUNTED,
    lambda text: chunk(delta={"content": text}, logprobs={"content": [{"token": text}]}),
    lambda text: chunk(index=1, delta={"content": text}),
    lambda text: chunk(delta={"role": "assistant", "content": text}),
    lambda text: chunk(delta={"content": text}, finish_reason="stop"),
    lambda text: chunk(delta={"content": text}, finish_reason=""),
    lambda text: chunk(text=text),
    lambda text: {"object": "chat.completion", "choices": [{"index": 0, "message": {"content": text}}]},
    lambda _text: {"choices": [], "usage": USAGE},
    lambda text: {"error": None, **said(text)},
]
RUNS = st.lists(st.tuples(st.sampled_from(KINDS), st.lists(TEXTS, min_size=1, max_size=4)), max_size=5)
"""Chunks of a kind come in a row."""


def event(value: dict[str, Any], *, spaced: bool, is_ascii: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    return b"data: " + json.dumps(value, separators=separators, ensure_ascii=is_ascii).encode(errors="surrogatepass")


def written(writer: ChunkWriter, events: bytes, *, plainly: bool) -> tuple[Any, ...]:
    """The frames, and how it ended."""
    frames: list[bytes] = []
    try:
        for delta in _plain(events) if plainly else OpenAIReader(stream=True).feed(events):
            if isinstance(delta, Damage):
                raise delta.error
            if not isinstance(delta, Chunk):
                frames += map(writer.write, split_completion(delta.fields))
            elif delta.template is None:
                frames.append(writer.write(delta.fields))
            else:
                frames.append(writer.write_templated(delta.template, delta.text))
        frames.append(writer.end())
    except GatewayError as error:
        # What matters is that both meet the same fault at the same place.
        return str(error), writer.text_bytes if frames else 0, frames
    return frames, writer.text_bytes, writer.usage, writer.is_whole


def _plain(events: bytes) -> list[Any]:
    return [_plain_delta(data) for data in EventReader().feed(events) if isinstance(data, bytes)]


def _plain_delta(data: bytes) -> Delta:
    try:
        return read_object(data, stream=True)
    except OutputLostError as error:
        return Damage(error)


@settings(max_examples=tries(500), deadline=None, derandomize=True)
@given(
    runs=RUNS,
    is_ascii=st.booleans(),
    spaced=st.booleans(),
    n=st.integers(1, 2),
    api=st.sampled_from([CHAT_COMPLETIONS, COMPLETIONS]),
    continuous=st.booleans(),
)
@example(
    runs=[(UNCOUNTED, ["a", "", "long"])],
    is_ascii=True,
    spaced=False,
    n=1,
    api=CHAT_COMPLETIONS,
    continuous=False,
)
def test_a_refrain_writes_what_its_chunk_would(
    runs: list[Any], is_ascii: bool, spaced: bool, n: int, api: Api, continuous: bool
) -> None:
    values = [kind(text) for kind, texts in [(said, ["first"]), *runs] for text in texts]
    events = b"".join(event(value, spaced=spaced, is_ascii=is_ascii) + b"\n\n" for value in values)
    options = {"include_usage": True, "continuous_usage_stats": continuous}
    asked = client_request(api=api, stream=True, n=n, stream_options=options)
    told = [
        written(ChunkWriter(asked, answer_id="x", created_s=1), events, plainly=plainly) for plainly in (True, False)
    ]
    assert told[0] == told[1]


def read(reader: ChunkTemplateReader, value: dict[str, Any]) -> bytes | None:
    data = event(value, spaced=False, is_ascii=False)[6:]
    text = reader.text_of(data)
    if text is None:
        delta = read_object(data, stream=True)
        reader.learn(data, delta.fields)
    return text


def test_a_stream_of_words_is_a_refrain() -> None:
    reader = ChunkTemplateReader()
    assert [read(reader, said(text)) for text in ("a", "b", "c\nd", "é", "")] == [
        None,
        b"b",
        b"c\\nd",
        "é".encode(),
        b"",
    ]


@pytest.mark.parametrize("bad", [b"\xff", b'"', b"\\", b"\\u0041", b"\x00", b"\n", b'x","content":"'])
def test_what_does_not_stand_in_a_string_is_no_refrain(bad: bytes) -> None:
    reader = ChunkTemplateReader()
    assert read(reader, said("word")) is None
    before, after = event(said("word"), spaced=False, is_ascii=True)[6:].split(b"word")
    assert reader.text_of(before + b"other" + after) == b"other"
    assert reader.text_of(before + bad + after) is None
    assert reader.text_of(before[:-1] + after[1:]) is None


def test_a_stream_that_is_never_alike_is_left_alone() -> None:
    reader = ChunkTemplateReader()
    for number in range(TRIES_MAX):
        assert read(reader, said("x", created=number)) is None
        assert reader.template is not None
    assert read(reader, said("x", created=TRIES_MAX)) is None
    assert reader.template is None
    assert read(reader, said("y", created=TRIES_MAX)) is None
