from typing import Any

import pytest

from gateway.errors import InvalidRequestError
from tests.factories import plain
from tests.translate.messages.shapes import request

TOOL = {"name": "f", "description": "Do it.", "input_schema": {"type": "object", "properties": {}}}
FUNCTION = {"name": "f", "description": "Do it.", "parameters": {"type": "object", "properties": {}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
NAMES = {"tools", "tool_choice", "parallel_tool_calls"}


def sent(**asked: Any) -> dict[str, Any]:
    return {name: value for name, value in plain(request(**asked).fields).items() if name in NAMES}


def test_a_tool_is_a_function() -> None:
    assert sent(tools=[TOOL]) == {"tools": [{"type": "function", "function": FUNCTION}]}
    own = {**TOOL, "type": "custom", "cache_control": {"type": "ephemeral"}, "strict": True}
    assert sent(tools=[own]) == {"tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}]}


def test_a_schema_without_a_type_is_one_of_an_object() -> None:
    (tool,) = sent(tools=[{"name": "f", "input_schema": {}}])["tools"]
    assert tool == {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def test_tools_that_anthropic_hosts_are_left_out() -> None:
    assert len(sent(tools=[SEARCH, TOOL])["tools"]) == 1
    assert sent(tools=[SEARCH], tool_choice={"type": "auto"}) == {}
    assert sent(tools=[]) == {}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
        ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
        (None, {}),
    ],
)
def test_the_choice_among_tools(choice: Any, expected: dict[str, Any]) -> None:
    assert sent(tools=[TOOL], tool_choice=choice) == sent(tools=[TOOL]) | expected


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ([TOOL], {"type": "tool", "name": "g"}, "tool_choice"),
        ([TOOL], {"type": "tool"}, "tool_choice"),
        ([SEARCH], {"type": "tool", "name": "web_search"}, "tool_choice"),
        ([SEARCH], {"type": "any"}, "tool_choice"),
        ([TOOL], {"type": "perhaps"}, "tool_choice"),
        ([{"input_schema": {}}], None, "tools"),
    ],
)
def test_a_choice_that_cannot_be_honoured_is_refused(tools: Any, choice: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        request(tools=tools, tool_choice=choice)
    assert caught.value.param == param
