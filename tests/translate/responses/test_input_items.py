from typing import Any

import pytest

from gateway.errors import InvalidRequestError
from gateway.translate.responses.input_items import ITEMS_MAX, messages_of
from tests.factories import fields_of, plain

CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "done"}
IMAGE = {"type": "input_image", "image_url": "data:,x"}


def messages(*items: Any, **more: Any) -> Any:
    return plain(messages_of(fields_of({"input": list(items), **more})))


def said(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def test_system_messages_at_the_beginning_are_one() -> None:
    made = messages(
        said("system", "b"), said("developer", "c"), said("user", "d"), said("developer", "e"), instructions="a"
    )
    assert [each["role"] for each in made] == ["system", "user", "system"]
    assert made[0]["content"] == "a\n\nb\n\nc"


def test_a_system_message_with_a_picture_stands_alone() -> None:
    made = messages(said("system", "a"), said("system", [IMAGE]), said("user", "b"))
    assert [each["role"] for each in made] == ["system", "system", "user"]


def test_what_a_model_said_in_one_turn_is_one_message() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "content": []}
    text = said("assistant", [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}])
    first, tool, second = messages(thought, text, CALL, {**CALL, "call_id": "d"}, OUTPUT, said("assistant", "end"))
    assert (first["role"], first["reasoning"], first["content"]) == ("assistant", "s", "ab")
    assert [each["id"] for each in first["tool_calls"]] == ["c", "d"]
    assert tool == {"role": "tool", "tool_call_id": "c", "content": "done"}
    assert second == {"role": "assistant", "content": "end"}


def test_two_texts_are_two_messages_but_not_between_a_call_and_its_output() -> None:
    assert len(messages(said("assistant", "a"), said("assistant", "b"))) == 2
    first, tool = messages(CALL, said("assistant", "a"), said("assistant", "b"), OUTPUT)
    assert (first["content"], tool["role"]) == ("a\nb", "tool")
    first, _ = messages(CALL, said("assistant", "a"), said("assistant", [IMAGE]), OUTPUT)
    assert [each["type"] for each in first["content"]] == ["text", "image_url"]


def test_reasoning_alone_is_a_message_and_that_of_strangers_is_ignored() -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "r"}]}
    assert messages(thought) == [{"role": "assistant", "content": "", "reasoning": "r"}]
    assert messages({"type": "reasoning", "encrypted_content": "x", "summary": []}, said("user", "a")) == [
        {"role": "user", "content": "a"}
    ]


def test_calls_have_the_names_that_the_worker_knows() -> None:
    custom = {"type": "custom_tool_call", "call_id": "d", "name": "patch", "input": 'a"b'}
    custom_output = {"type": "custom_tool_call_output", "call_id": "d", "output": [IMAGE]}
    assistant, tool = messages({**CALL, "namespace": "ns"}, custom, custom_output)
    assert [each["function"] for each in assistant["tool_calls"]] == [
        {"name": "ns__f", "arguments": "{}"},
        {"name": "patch", "arguments": '{"input":"a\\"b"}'},
    ]
    assert tool["content"][0]["type"] == "image_url"


def test_items_of_hosted_tools_are_dropped_and_unknown_ones_refused() -> None:
    assert len(messages({"type": "web_search_call", "id": "ws"}, {"role": "user", "content": "a"})) == 1
    with pytest.raises(InvalidRequestError, match="type are not supported"):
        messages({"type": "compaction", "encrypted_content": "x"})


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (said("boss", "a"), "input[0].role"),
        ({"role": 5, "content": "a"}, "input[0].role"),
        ({**CALL, "arguments": {}}, "input[0].arguments"),
        ({**CALL, "name": None}, "input[0].name"),
        ({**CALL, "namespace": 5}, "input[0].namespace"),
        ({**OUTPUT, "call_id": None}, "input[0].call_id"),
        ({"type": 5}, "input[0].type"),
        (said("user", 5), "input[0].content"),
    ],
)
def test_an_item_that_cannot_be_read_is_named(item: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        messages(item)
    assert caught.value.param == param


def test_the_number_of_items_is_bounded() -> None:
    assert len(messages(*[said("user", "a")] * ITEMS_MAX)) == ITEMS_MAX
    with pytest.raises(InvalidRequestError, match="at most 10000"):
        messages(*[said("user", "a")] * (ITEMS_MAX + 1))
