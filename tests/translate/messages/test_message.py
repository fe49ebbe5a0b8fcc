import json
from typing import Any

import pytest

from gateway.domain import Usage
from gateway.errors import JobFailedError, OutputLostError
from gateway.translate.messages.message import finish_message
from tests.factories import fields_of
from tests.translate.messages.shapes import request


def finished(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    asked = request(stream=False, **more.pop("asked", {}))
    choice = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish,
        **more.pop("choice", {}),
    }
    whole = fields_of({"id": "w", "object": "chat.completion", "choices": [choice], **more})
    usage = Usage(prompt_tokens=9, completion_tokens=4)
    return json.loads(finish_message(whole, asked, answer_id="msg-1", created_s=1, usage=usage))


def tool_call(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def test_every_field_of_a_message() -> None:
    assert finished({"content": "Hello"}) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 9,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 4,
        },
    }


def test_thinking_text_and_calls_in_this_order() -> None:
    calls = [tool_call('{"a": [1]}', id="c0"), tool_call("", id="c1"), tool_call("{}", id="c2")]
    content = finished({"content": "Yes.", "reasoning": "hm", "tool_calls": calls}, "tool_calls")["content"]
    assert content == [
        {"type": "thinking", "thinking": "hm", "signature": "fairpod"},
        {"type": "text", "text": "Yes."},
        {"type": "tool_use", "id": "c0", "name": "f", "input": {"a": [1]}},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
        {"type": "tool_use", "id": "c2", "name": "f", "input": {}},
    ]


def test_the_id_of_a_call_is_never_missing() -> None:
    (block,) = finished({"content": None, "tool_calls": [tool_call("{}")]}, "tool_calls")["content"]
    assert block["id"]


@pytest.mark.parametrize(("finish", "reason"), [("tool_calls", "tool_use"), ("stop", "tool_use")])
def test_a_message_with_a_call_asks_for_its_result(finish: str, reason: str) -> None:
    call = tool_call('{"a":1}', id="c")
    assert finished({"content": None, "tool_calls": [call]}, finish)["stop_reason"] == reason


def test_a_call_that_was_cut_has_no_input() -> None:
    cut = finished({"content": None, "tool_calls": [tool_call('{"a":', id="c")]}, "length")
    assert (cut["stop_reason"], cut["content"][0]["input"]) == ("max_tokens", {})


def test_where_it_stopped_and_what_was_cached() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}
    asked = {"stop_sequences": ["END"]}
    message = finished({"content": "a"}, usage=usage, asked=asked, choice={"stop_reason": "END"})
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    assert (message["usage"]["input_tokens"], message["usage"]["cache_read_input_tokens"]) == (4, 5)


def test_an_empty_answer_has_no_content() -> None:
    assert finished({"content": ""})["content"] == []
    assert finished({"content": None}, "content_filter")["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("message", "finish", "error"),
    [
        ({"content": None, "tool_calls": [tool_call('{"a":', id="c")]}, "tool_calls", OutputLostError),
        ({"content": None, "tool_calls": [tool_call("[1]", id="c")]}, "tool_calls", OutputLostError),
        ({"content": {"odd": 1}}, "stop", OutputLostError),
        ({"content": "a"}, "abort", JobFailedError),
    ],
)
def test_what_is_no_answer_is_an_error(message: dict[str, Any], finish: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        finished(message, finish)


@pytest.mark.parametrize("whole", [{}, {"choices": []}, {"choices": 5}, {"choices": [{"index": 0}]}])
def test_what_is_no_completion_is_an_error(whole: Any) -> None:
    with pytest.raises(OutputLostError):
        finish_message(fields_of(whole), request(), answer_id="msg-1", created_s=1, usage=Usage())
