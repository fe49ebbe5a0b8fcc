"""Translate the tools of a Messages request, and the choice among them, to those of a chat completion."""

from typing import Any

from msgspec import Raw

from gateway.errors import InvalidRequestError
from gateway.translate.messages.body import Tool, ToolChoice
from gateway.wire.openai import encode

JsonObject = dict[str, Any]
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def tool_fields(tools: list[Tool] | None, choice: ToolChoice | None) -> JsonObject:
    """Return the fields of the chat completion; none if no tool is left.

    Tools without a schema are run by Anthropic or known to its models by name: a worker knows nothing of them, and they
    are left out.

    Raises:
        InvalidRequestError: The choice demands a tool that is not left, or is unknown.
    """
    functions = [_function(tool) for tool in tools or () if tool.input_schema is not None]
    fields: JsonObject = {"tools": functions} if functions else {}
    if choice is None:
        return fields
    names = {each["function"]["name"] for each in functions}
    match choice.type:
        case "tool":
            if choice.name not in names:
                reason = "'tool_choice' names a tool that is not in 'tools' with an 'input_schema'."
                raise InvalidRequestError(reason, param="tool_choice")
            fields["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
        case "any" if not functions:
            reason = "'tool_choice' demands a tool, and 'tools' has none with an 'input_schema'."
            raise InvalidRequestError(reason, param="tool_choice")
        case "auto" | "any" | "none":
            if functions:
                fields["tool_choice"] = _CHOICES[choice.type]
        case _:
            reason = "The type of 'tool_choice' must be auto, any, tool or none."
            raise InvalidRequestError(reason, param="tool_choice")
    if choice.disable_parallel_tool_use and functions:
        fields["parallel_tool_calls"] = False
    return fields


def _function(tool: Tool) -> JsonObject:
    if not tool.name:
        raise InvalidRequestError("A tool has no 'name'.", param="tools")
    # Templates and grammars expect the type, which Anthropic's clients may leave out.
    schema = {"type": Raw(encode("object")), **(tool.input_schema or {})}
    function: JsonObject = {"name": tool.name, "parameters": schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
