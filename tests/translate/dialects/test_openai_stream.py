"""Answers of workers that write their events in ways of their own."""

from typing import Any

import pytest

from gateway.errors import OutputLostError, WorkerError
from gateway.translate.dialects import openai_stream
from gateway.translate.dialects.contract import Chunk, Damage, Delta
from gateway.translate.dialects.openai_stream import SEQUENCE_BYTES_MAX, OpenAIReader
from gateway.wire.sse import EVENT_BYTES_MAX
from tests.factories import plain

HELLO = b'{"choices":[{"index":0,"delta":{"content":"hello"}}]}'
WORLD = b'{"choices":[{"index":0,"delta":{"content":" world"}}]}'
STOP = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'


def read(*pieces: bytes, stream: bool = True) -> tuple[list[Delta], OpenAIReader]:
    reader = OpenAIReader(stream=stream)
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return deltas + reader.end(), reader


def text_of(deltas: list[Delta]) -> str:
    chunks = [plain(delta.fields) for delta in deltas if isinstance(delta, Chunk)]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize(
    "body",
    [
        b"data: %b\n\ndata: %b\n\ndata: %b\n\ndata: [DONE]\n\n" % (HELLO, WORLD, STOP),
        b"\xef\xbb\xbfdata: %b\n\ndata: %b\n\ndata: %b\n\ndata: [DONE]\n\n" % (HELLO, WORLD, STOP),
        b"  data: %b\n\n  data: %b\n\n  data: %b\n\n  data: [DONE]\n\n" % (HELLO, WORLD, STOP),
        b'data: %b\n\ndata: %b\n\ndata: %b\n\ndata: "[DONE]"\n\n' % (HELLO, WORLD, STOP),
        b"data: %b\n\ndata: %b\n\ndata: %b\n\ndata: [done]\n\n" % (HELLO, WORLD, STOP),
        b"data: data: %b\n\ndata: data: %b\n\ndata: data: %b\n\ndata: data: [DONE]\n\n" % (HELLO, WORLD, STOP),
        b'data: ping\n\ndata: %b\n\ndata: "keep-alive"\n\ndata: %b\n\ndata: null\n\ndata: %b\n\ndata: [DONE]\n\n'
        % (HELLO, WORLD, STOP),
        b"data: [%b,%b]\n\ndata: [%b]\n\ndata: [DONE]\n\n" % (HELLO, WORLD, STOP),
        b"data: %b%b\n\ndata: %b\n\ndata: [DONE]\n\n" % (HELLO, WORLD, STOP),
        b"data: %bdata: %b\n\ndata: %b\n\ndata: [DONE]\n\n" % (HELLO, WORLD, STOP),
        b"%b\n%b\n%b\n[DONE]" % (HELLO, WORLD, STOP),
        b"[%b,%b,%b]\n\n[DONE]" % (HELLO, WORLD, STOP),
        b"%b%b%bdata: [DONE]\n\n" % (HELLO, WORLD, STOP),
    ],
)
def test_every_way_to_separate_chunks_is_read(body: bytes) -> None:
    deltas, reader = read(body)
    assert text_of(deltas) == "hello world"
    assert not any(isinstance(delta, Damage) for delta in deltas)
    assert reader.is_over


@pytest.mark.parametrize(
    "pieces",
    [
        (b"data: " + HELLO, b"data: " + WORLD, b"data: " + STOP, b"data: [DONE]"),
        (HELLO, WORLD, STOP, b"[DONE]"),
        (HELLO, b"data: " + WORLD, b"data: " + STOP),
        (b"data: " + HELLO + b"\n", b"data: " + WORLD + b"\n", b"data: " + STOP + b"\n"),
    ],
)
def test_pieces_that_are_one_event_each_need_no_blank_line(pieces: tuple[bytes, ...]) -> None:
    """Handlers that yield single lines of an upstream's stream lose the blank ones."""
    deltas, _ = read(*pieces)
    assert text_of(deltas) == "hello world"
    assert not any(isinstance(delta, Damage) for delta in deltas)


def test_a_cut_inside_an_event_is_no_end_of_it() -> None:
    """The first piece ends with a brace, and yet its object goes on."""
    text = b'{"choices":[{"index":0,"delta":{"content":"a}'
    deltas, _ = read(b"data: " + text, b'data: b"}}]}\n\n')
    assert text_of(deltas) == "a}data: b"
    deltas, _ = read(text, b'{ b"}}]}')
    assert text_of(deltas) == "a}{ b"


def test_an_object_that_is_too_large_to_search_is_left_whole() -> None:
    large = b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % (b"x" * SEQUENCE_BYTES_MAX)
    deltas, _ = read(b"data: " + large, b"\n\ndata: " + HELLO + b"\n\n")
    assert text_of(deltas) == "x" * SEQUENCE_BYTES_MAX + "hello"


@pytest.mark.parametrize("cut", range(1, len(WORLD)))
def test_half_an_object_behind_others_is_damage(cut: int) -> None:
    for body in (b"data: " + HELLO + WORLD[:cut] + b"\n\n", HELLO + b"\n" + WORLD[:cut]):
        deltas, _ = read(body)
        assert text_of(deltas) == "hello"
        assert isinstance(deltas[-1], Damage)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"CUDA error: out of memory", "CUDA error: out of memory"),
        (b'"Internal Server Error"', "Internal Server Error"),
        (b"Request timed out.", "Request timed out."),
        (b"EngineDeadError", "EngineDeadError"),
    ],
)
def test_an_error_in_plain_words_is_damage_that_says_so(frame: bytes, message: str) -> None:
    deltas, _ = read(b"data: " + HELLO + b"\n\ndata: " + frame + b"\n\n")
    damage = deltas[-1]
    assert isinstance(damage, Damage)
    assert isinstance(damage.error, WorkerError)
    assert message in damage.error.message


@pytest.mark.parametrize(
    "tail",
    [
        b'{"error":{"message":"temperature is out of range","code":400}}',
        b'{"detail":"temperature is out of range"}',
        b'{"object":"error","message":"temperature is out of range","code":400}',
        b'{"type":"error","error":{"message":"temperature is out of range"}}',
    ],
)
@pytest.mark.parametrize("start", [HELLO[:30], HELLO[:20] + b"\n", b'{"choices":[', b"[1,"])
def test_an_error_behind_half_an_event_is_found(start: bytes, tail: bytes) -> None:
    for body in (b"data: " + start + tail + b"\n\n", b"data: " + HELLO + b"\n\ndata: " + start + tail + b"\n\n"):
        with pytest.raises(WorkerError) as caught:
            read(body)
        assert caught.value.message == "temperature is out of range"


def test_what_is_neither_json_nor_a_word_is_damage() -> None:
    for frame in (b'hoices":[{"delta":{"content":"x"}}]}', b"[1,", b"\xff\xfe"):
        deltas, _ = read(b"data: " + frame + b"\n\n")
        assert [type(delta) for delta in deltas] == [Damage], frame


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b'{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":NaN}]}', "a"),
        (rb'{"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}', "a\ufffd"),
    ],
)
def test_json_that_only_some_parsers_take_is_repaired(frame: bytes, text: str) -> None:
    for body in (b"data: " + frame + b"\n\n", frame):
        deltas, _ = read(body)
        assert text_of(deltas) == text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body", [b'[{"error":{"message":"temperature is out of range","code":400}}]', b'[{"detail":"out of range"}]']
)
def test_a_list_with_an_error_is_one(body: bytes, stream: bool) -> None:
    with pytest.raises(WorkerError) as caught:
        read(body, stream=stream)
    assert "out of range" in caught.value.message


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputLostError, match="event of"):
        read(b"data: " + b"x" * EVENT_BYTES_MAX, b"x" * 100)
    monkeypatch.setattr(openai_stream, "ANSWER_BYTES_MAX", 100)
    with pytest.raises(OutputLostError, match="answer is too large"):
        read(b"{" + b"x" * 100)


def test_an_object_that_cannot_be_read_among_others_is_damage() -> None:
    # Python's reader takes the number for infinity, msgspec's refuses it.
    deltas, _ = read(b"data: " + HELLO + b'{"error":1e999}' + WORLD + b"\n\n")
    assert [type(delta) for delta in deltas] == [Chunk, Damage, Chunk]


def test_what_follows_the_end_mark_is_not_read() -> None:
    deltas, reader = read(b"data: [DONE]\n\ndata: " + HELLO + b"\n\n")
    assert (deltas, reader.is_over) == ([], True)


def test_objects_with_blanks_before_them_are_read() -> None:
    assert text_of(read(b"data:   " + HELLO + b"\n\n")[0]) == "hello"


def test_an_error_event_without_json_is_told_in_its_words() -> None:
    with pytest.raises(WorkerError) as caught:
        read(b"event: error\ndata: the GPU overheated\n\n")
    assert caught.value.message == "the GPU overheated"


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":null,"base_resp":{"status_code":1004,"status_msg":"boom"}}',
        b'data: {"err":"boom"}',
        b'data: {"exception":"boom","choices":[]}',
        b'data: {"retcode":1,"msg":"boom"}',
        b'event: exception\ndata: {"info":1}',
        b"event: failed\ndata: boom",
        b"event: error",
    ],
)
def test_no_error_in_a_stream_is_passed_over(event: bytes) -> None:
    with pytest.raises(WorkerError) as caught:
        read(b"data: " + HELLO + b"\n\n" + event + b"\n\ndata: [DONE]\n\n")
    assert caught.value.status == 502
    assert b"boom" not in event or caught.value.message == "boom"


def test_numbers_are_no_answer() -> None:
    body: Any = b"data: 3\n\ndata: true\n\n"
    assert read(body)[0] == []
