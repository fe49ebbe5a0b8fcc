from typing import Any

import pytest

from gateway.errors import InvalidRequestError
from gateway.translate.responses.tools import DeclaredTool, read_tool_choice, read_tools, unwrap_input, wrap_input
from tests.factories import plain, raw

F = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
G = {"type": "function", "name": "g"}
PATCH = {"type": "custom", "name": "patch", "format": {"type": "text"}}
SPACE = {"type": "namespace", "name": "ns", "tools": [F, PATCH, {"type": "file_search"}]}
SEARCH = {"type": "web_search"}


def names(choice: Any, *tools: Any) -> tuple[Any, list[str]]:
    """The choice that the worker is told, and the functions it is offered."""
    read = read_tools(raw(list(tools)))
    made = read_tool_choice(raw(choice), read)
    return None if made is None else plain(made), [each["function"]["name"] for each in plain(read.functions)]


def test_functions_are_nested_and_repeated_with_what_a_response_requires() -> None:
    read = read_tools(raw([F, G]))
    described = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    assert plain(read.functions)[0] == {"type": "function", "function": described}
    assert plain(read.functions)[1] == {"type": "function", "function": {"name": "g"}}
    assert plain(read.echo)[0] == F
    assert plain(read.echo)[1] == {**G, "description": None, "parameters": None, "strict": False}


def test_no_tools_are_none() -> None:
    assert read_tools(None).functions == read_tools(raw(None)).functions == []


def test_a_namespace_is_flattened_and_a_custom_tool_is_wrapped() -> None:
    read = read_tools(raw([PATCH, SPACE]))
    assert read.declared == {
        "patch": DeclaredTool("patch", is_custom=True),
        "ns__f": DeclaredTool("f", "ns"),
        "ns__patch": DeclaredTool("patch", "ns", is_custom=True),
    }
    assert plain(read.functions)[0]["function"]["parameters"]["required"] == ["input"]
    assert read.dropped == ("file_search",)


def test_types_of_dropped_tools_are_told_once_and_fit_in_a_header() -> None:
    assert read_tools(raw([SEARCH, SEARCH, {"type": "x\r\ny"}])).dropped == ("web_search", "other")


def test_a_function_in_the_form_of_chat_completions_is_read_too() -> None:
    assert names("auto", {"type": "function", "function": {"name": "f"}}) == ("auto", ["f"])


@pytest.mark.parametrize(
    ("choice", "tools", "made"),
    [
        (None, [F], (None, ["f"])),
        ("required", [F], ("required", ["f"])),
        ("required", [SEARCH], (None, [])),
        ({"type": "function", "name": "f"}, [F, G], ({"type": "function", "function": {"name": "f"}}, ["f", "g"])),
        (
            {"type": "function", "function": {"name": "f"}},
            [F],
            ({"type": "function", "function": {"name": "f"}}, ["f"]),
        ),
        ({"type": "custom", "name": "patch", "namespace": "ns"}, [SPACE], None),
        ({"type": "function", "name": "f"}, [SEARCH], (None, [])),
        ({"type": "allowed_tools", "mode": "required", "tools": [G, SEARCH]}, [F, G], ("required", ["g"])),
        ({"type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}, [F], (None, [])),
    ],
)
def test_choices(choice: Any, tools: list[Any], made: Any) -> None:
    if made is None:
        made = ({"type": "function", "function": {"name": "ns__patch"}}, ["ns__f", "ns__patch"])
    assert names(choice, *tools) == made


@pytest.mark.parametrize(
    ("choice", "tools", "param"),
    [
        ({"type": "web_search"}, [F], "tool_choice"),
        ({"type": "x\ny"}, [F], "tool_choice"),
        (5, [F], "tool_choice"),
        ({}, [F], "tool_choice.type"),
        ({"type": "allowed_tools", "tools": 5}, [F], "tool_choice.tools"),
        ("auto", 5, "tools"),
        ("auto", [{}], "tools[0].type"),
        ("auto", [{"type": "function"}], "tools[0].name"),
        ("auto", [{"type": "function", "function": 5}], "tools[0].function"),
        ("auto", [F, F], "tools[1].name"),
        ("auto", [{"type": "namespace", "name": "n", "tools": 5}], "tools[0].tools"),
    ],
)
def test_what_cannot_be_read_is_named(choice: Any, tools: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_tool_choice(raw(choice), read_tools(raw(tools)))
    assert caught.value.param == param


def test_the_input_of_a_custom_tool_survives_its_wrapping() -> None:
    assert unwrap_input(wrap_input('a"\n')) == 'a"\n'
    for arguments in ("", "{}", '{"input":5}', "text"):
        assert unwrap_input(arguments) == arguments
