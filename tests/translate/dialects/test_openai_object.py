"""Chunks, whole answers and errors, told apart by what is in them."""

from typing import Any

import msgspec
import pytest

from gateway.errors import OutputLostError, UpstreamError, WorkerError
from gateway.translate.dialects.contract import Chunk, Whole
from gateway.translate.dialects.openai_object import raise_hidden_error, read_object
from tests.factories import plain


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({"delta": {"content": "a"}}, Chunk),
        ({"message": {"content": "a"}, "finish_reason": "stop"}, Whole),
        # Some servers write the message so far beside each delta, with null or nothing for the other of the two.
        ({"delta": {"content": "a"}, "message": {"content": "so far, a"}}, Chunk),
        ({"delta": {}, "message": {"content": "a"}, "finish_reason": "stop"}, Whole),
        ({"delta": [], "message": {"content": "a"}, "finish_reason": "stop"}, Whole),
        ({"delta": {"content": "a"}, "message": {}}, Chunk),
        ({"delta": {"content": "a"}, "message": None, "finish_reason": "stop"}, Chunk),
        ({"message": {"content": "a"}, "finish_reason": None}, Chunk),
        ({"text": "a", "finish_reason": "stop"}, Chunk),
    ],
)
def test_a_chunk_is_told_from_a_whole_answer(choice: Any, kind: type) -> None:
    body = msgspec.json.encode({"choices": [{"index": 0, **choice}]})
    for stream in (True, False):
        assert isinstance(read_object(body, stream=stream), kind)


def test_embeddings_are_whole_and_objects_without_content_are_not() -> None:
    assert isinstance(read_object(b'{"data":[{"embedding":[1.0]}]}', stream=False), Whole)
    for body in (b"{}", b'{"type":"ping"}', b'{"choices":[],"usage":{}}', b'{"data":[]}', b'{"choices":5}'):
        assert isinstance(read_object(body, stream=False), Chunk)


def test_what_is_called_a_chunk_is_one() -> None:
    body = b'{"object":"chat.completion.chunk","choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'
    for stream in (True, False):
        assert isinstance(read_object(body, stream=stream), Chunk)


def test_an_object_over_many_lines_becomes_one_line() -> None:
    read = read_object(b'{\n  "choices": [],\r\n  "model": "m"\n}', stream=True)
    assert bytes(read.fields["choices"]) == b"[]"
    assert plain(read.fields) == {"choices": [], "model": "m"}


def test_an_error_that_says_nothing_is_dropped() -> None:
    """openai-go takes a null for a failure."""
    for value in (b"null", b'""', b"{}", b"false"):
        assert "error" not in read_object(b'{"choices":[],"error":%b}' % value, stream=True).fields


@pytest.mark.parametrize("body", [b"{", b'{"a":', b'{"a":NaN', b'{"choices":[{"delta":{"content":"x', b"[]"])
def test_half_an_object_is_lost_output(body: bytes) -> None:
    with pytest.raises(OutputLostError):
        read_object(body, stream=True)


@pytest.mark.parametrize("value", [b"1e999", b"[" * 100_000 + b"]" * 100_000])
def test_an_error_that_cannot_be_read_is_lost_output(value: bytes) -> None:
    with pytest.raises(OutputLostError):
        read_object(b'{"error":%b}' % value, stream=True)


def test_only_an_error_at_the_end_of_a_text_is_raised() -> None:
    raise_hidden_error(b'{"choices":[{"delta":{"content":"{\\"error\\": \\"no\\"}"}}]')
    raise_hidden_error(b'{"error":"boom"} and more')
    raise_hidden_error(b'{"choices":[{"error": null}')
    raise_hidden_error(b'{"choices":[{"message":"hello"}')
    raise_hidden_error(b'{"error":"boom"' + b" " * 100_000 + b"}")
    with pytest.raises(UpstreamError):
        raise_hidden_error(b'{"choices":[{"error":"no"},{"error":"boom"}')


@pytest.mark.parametrize(
    "error",
    [
        b'{"error": {"message": "bad", "code": 400}}',
        b'{ "error": {"message": "bad", "code": 400}}',
        b'{\n  "error" : {\n"message": "bad", "code": 400}\n}',
        b'{ "object" : "error", "message": "bad", "code": 400}',
        b'{ "message": "bad", "code": 400}',
        b'{"code": 400, "message": "bad"}',
        b'{"err": {"message": "bad", "code": 400}}',
    ],
)
def test_an_error_behind_a_cut_frame_keeps_its_status(error: bytes) -> None:
    with pytest.raises(WorkerError) as caught:
        raise_hidden_error(b'{"id":"c1","choices":[{"index":0,"del' + error)
    assert (caught.value.status, caught.value.message) == (400, "bad")


def test_nothing_in_an_error_s_place_is_dropped() -> None:
    for error in (b'"None"', b'"null"', b'{"code":0,"message":"success"}'):
        body = b'{"error":' + error + b',"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'
        answer = read_object(body, stream=False)
        assert isinstance(answer, Whole)
        assert "error" not in answer.fields


def test_an_api_without_choices_answers_with_one_object() -> None:
    body = b'{"results":[{"index":0,"relevance_score":0.5}]}'
    assert isinstance(read_object(body, stream=False, has_choices=False), Whole)
    assert isinstance(read_object(body, stream=False), Chunk)
    with pytest.raises(UpstreamError):
        read_object(b'{"error":{"message":"too long"}}', stream=False, has_choices=False)
