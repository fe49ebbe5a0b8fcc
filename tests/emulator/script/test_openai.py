import base64
import itertools
import json
import struct

import pytest

from gateway.emulator.script.answer import Answer, Choice, ModelError, ToolCall
from gateway.emulator.script.openai import (
    Heading,
    chat_body,
    chat_steps,
    completion_body,
    completion_steps,
    embeddings_body,
    models_body,
)
from gateway.emulator.script.requests import ModelRequest

HEADING = Heading(id="chatcmpl-7", created=5, model="m")
TWO = Answer(choices=[Choice(tokens=["a", " b"]), Choice(tokens=["c"], finish_reason="length")], prompt_tokens=4)
CALLS = Answer(
    choices=[
        Choice(
            tokens=[],
            tool_calls=[ToolCall("first", '{"text": "你好你好你好"}'), ToolCall("second", "{}")],
            finish_reason="tool_calls",
        )
    ],
    prompt_tokens=1,
)


def chunks(steps):
    return [json.loads(chunk) for chunk in itertools.chain.from_iterable(steps)]


def test_a_whole_chat_completion():
    body = json.loads(chat_body(TWO, HEADING))
    assert (body["id"], body["object"], body["created"], body["model"]) == ("chatcmpl-7", "chat.completion", 5, "m")
    assert [choice["message"]["content"] for choice in body["choices"]] == ["a b", "c"]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


def test_a_whole_chat_completion_with_calls_has_no_content():
    message = json.loads(chat_body(CALLS, HEADING))["choices"][0]["message"]
    assert message["content"] is None
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["first", "second"]
    assert len({call["id"] for call in message["tool_calls"]}) == 2
    assert message["tool_calls"][0]["type"] == "function"


def test_a_stream_names_the_role_once_first_and_the_finish_reason_once_last():
    stream = chunks(chat_steps(TWO, HEADING, with_usage=False))
    assert {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in stream} == {
        ("chatcmpl-7", "chat.completion.chunk", 5, "m")
    }
    for index in (0, 1):
        mine = [choice for chunk in stream for choice in chunk["choices"] if choice["index"] == index]
        assert ["role" in choice["delta"] for choice in mine] == [True] + [False] * (len(mine) - 1)
        assert [choice["finish_reason"] is None for choice in mine] == [True] * (len(mine) - 1) + [False]
    assert not any("usage" in chunk for chunk in stream)


def test_usage_comes_last_and_only_when_asked_for():
    last = chunks(chat_steps(TWO, HEADING, with_usage=True))[-1]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


def test_a_call_is_named_once_and_its_arguments_add_up():
    deltas = [
        call
        for chunk in chunks(chat_steps(CALLS, HEADING, with_usage=False))
        for call in chunk["choices"][0]["delta"].get("tool_calls", [])
    ]
    for index, (name, arguments) in enumerate([("first", '{"text": "你好你好你好"}'), ("second", "{}")]):
        mine = [call for call in deltas if call["index"] == index]
        assert (mine[0]["type"], mine[0]["function"]["name"], bool(mine[0]["id"])) == ("function", name, True)
        assert all(set(call) == {"index", "function"} and set(call["function"]) == {"arguments"} for call in mine[1:])
        assert "".join(call["function"]["arguments"] for call in mine) == arguments


def test_text_completions_whole_and_streamed_say_the_same():
    body = json.loads(completion_body(TWO, HEADING))
    stream = chunks(completion_steps(TWO, HEADING, with_usage=True))
    for index, choice in enumerate(body["choices"]):
        mine = [entry for chunk in stream for entry in chunk["choices"] if entry["index"] == index]
        assert "".join(entry["text"] for entry in mine) == choice["text"]
        assert [entry["finish_reason"] for entry in mine] == [None] * (len(mine) - 1) + [choice["finish_reason"]]
    assert stream[-1]["usage"] == body["usage"]


def test_an_empty_text_completion_still_finishes():
    empty = Answer(choices=[Choice(tokens=[])], prompt_tokens=1)
    assert chunks(completion_steps(empty, HEADING, with_usage=False))[0]["choices"][0]["finish_reason"] == "stop"


def test_embeddings_are_unit_vectors_that_depend_on_the_text_alone():
    def vectors(**fields):
        body = json.loads(embeddings_body(ModelRequest(**fields), dimensions=8))
        return [entry["embedding"] for entry in body["data"]]

    one, other, again = vectors(input=["a", "b", "a"])
    assert one == again != other
    assert (len(one), sum(number * number for number in one)) == (8, pytest.approx(1.0))
    assert len(vectors(input="a", dimensions=3)[0]) == 3
    assert vectors(input=[[1, 2]]) == vectors(input=[1, 2])


def test_base64_embeddings_are_the_same_numbers_as_little_endian_floats():
    plain = json.loads(embeddings_body(ModelRequest(input="a"), dimensions=4))["data"][0]["embedding"]
    coded = json.loads(embeddings_body(ModelRequest(input="a", encoding_format="base64"), dimensions=4))
    assert struct.unpack("<4f", base64.b64decode(coded["data"][0]["embedding"])) == pytest.approx(plain)


@pytest.mark.parametrize("missing", [None, []])
def test_embeddings_of_nothing_are_refused(missing):
    with pytest.raises(ModelError):
        embeddings_body(ModelRequest(input=missing), dimensions=4)


@pytest.mark.parametrize("dimensions", [-1, 0, 10**9])
def test_dimensions_that_no_model_has_are_refused(dimensions):
    with pytest.raises(ModelError):
        embeddings_body(ModelRequest(input="a", dimensions=dimensions), dimensions=4)


def test_the_models_that_are_served_or_one_name():
    listed = json.loads(models_body(("a", "org/b"), 5))
    assert [model["id"] for model in listed["data"]] == ["a", "org/b"]
    assert listed["data"][0]["created"] == 5
    assert len(json.loads(models_body((), 5))["data"]) == 1
