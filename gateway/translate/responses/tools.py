"""Convert the tools of a Responses request to functions of chat completions, and their names back.

A namespace becomes functions with its name before theirs, a custom tool a function with one text argument. Tools that
OpenAI runs itself are dropped: Codex always declares some, and works without them.
"""

import re

import msgspec
from msgspec import Raw

from gateway.errors import InvalidRequestError
from gateway.translate.responses.unsupported import unsupported
from gateway.wire import openai
from gateway.wire.lenient import is_null
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, Fields

CUSTOM_FIELD = "input"
"""Name of the only argument of a function that stands for a custom tool."""
_CUSTOM_PARAMETERS = Raw(
    openai.encode(
        {
            "type": "object",
            "properties": {CUSTOM_FIELD: {"type": "string"}},
            "required": [CUSTOM_FIELD],
            "additionalProperties": False,
        }
    )
)
_DROPPED_MAX = 32
_PLAIN_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_decode_tools = msgspec.json.Decoder(list[Fields]).decode


class DeclaredTool(msgspec.Struct, frozen=True):
    """Describe what the client calls a function of the chat request."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


class Tools(msgspec.Struct, kw_only=True):
    """Hold the tools of a request in both forms."""

    functions: list[Fields] = msgspec.field(default_factory=list)
    """As chat completions declare them."""
    declared: dict[str, DeclaredTool] = msgspec.field(default_factory=dict)
    """By the name of the function."""
    echo: list[Fields] = msgspec.field(default_factory=list)
    """As the response repeats them."""
    dropped: tuple[str, ...] = ()
    """Types of the tools that were dropped."""


def read_tools(raw: Raw | None) -> Tools:
    """Convert the field `tools`.

    Raises:
        InvalidRequestError: It is not a list of tools with names.
    """
    tools, dropped = Tools(), dict[str, None]()
    if raw is None or is_null(raw):
        return tools
    for position, tool in enumerate(_listed(raw, "tools")):
        param = f"tools[{position}]"
        kind = _text(tool, "type", param)
        if kind in {"function", "custom"}:
            tools.echo.append({"description": NULL, **_DEFAULTS[kind], **tool})
            _add(tools, tool, param, kind=kind, namespace=None)
        elif kind == "namespace":
            namespace = _text(tool, "name", param)
            inner = _listed(tool.get("tools", NULL), f"{param}.tools")
            tools.echo.append({"description": NULL, **tool})
            for at, each in enumerate(inner):
                inner_param = f"{param}.tools[{at}]"
                inner_kind = _text(each, "type", inner_param)
                if inner_kind in {"function", "custom"}:
                    _add(tools, each, inner_param, kind=inner_kind, namespace=namespace)
                else:
                    dropped[inner_kind] = None
        else:
            tools.echo.append(tool)
            dropped[kind] = None
    tools.dropped = tuple(kind if _PLAIN_TYPE.fullmatch(kind) else "other" for kind in list(dropped)[:_DROPPED_MAX])
    return tools


_DEFAULTS: dict[str, Fields] = {"function": {"parameters": NULL, "strict": Raw(b"false")}, "custom": {}}
"""Fields of a tool that the schema of a response requires."""


def function_name(name: str, namespace: str | None) -> str:
    """Return the name of the function of the chat request for a tool."""
    return name if namespace is None else f"{namespace}__{name}"


def read_tool_choice(raw: Raw | None, tools: Tools) -> Raw | None:
    """Convert the field `tool_choice`, and remove the functions that it does not allow; None if there is no choice.

    Raises:
        InvalidRequestError: It forces a tool that the gateway dropped, or cannot be read.
    """
    if raw is None or is_null(raw):
        return None
    if bytes(raw)[:1] == b'"':
        return raw if tools.functions else None
    choice = _object(raw, "tool_choice")
    kind = _text(choice, "type", "tool_choice")
    if kind == "allowed_tools":
        allowed = {_chosen(each) for each in _listed(choice.get("tools", NULL), "tool_choice.tools")}
        tools.functions = [each for each in tools.functions if _name_of(each) in allowed]
        return choice.get("mode", Raw(b'"auto"')) if tools.functions else None
    name = _chosen(choice)
    if name is None:
        known = kind if _PLAIN_TYPE.fullmatch(kind) else "this type"
        raise unsupported(
            f"Tools of type '{known}' are not run here. Set 'tool_choice' to 'auto', or to one of your functions.",
            "tool_choice",
        )
    if not tools.functions:
        return None
    return Raw(openai.encode({"type": "function", "function": {"name": name}}))


def wrap_input(text: str) -> str:
    """Return the arguments of the function that stands for a custom tool."""
    return openai.encode({CUSTOM_FIELD: text}).decode()


def unwrap_input(arguments: str) -> str:
    """Return the input of a custom tool from the arguments of its function; all of them if they have another form."""
    try:
        return openai.decode_string(openai.decode_fields(arguments)[CUSTOM_FIELD])
    except (*MALFORMED, KeyError):
        return arguments


def _add(tools: Tools, tool: Fields, param: str, *, kind: str, namespace: str | None) -> None:
    # Some clients declare functions as in chat completions.
    nested = tool.get("function")
    described = tool if nested is None or "name" in tool else _object(nested, f"{param}.function")
    name = _text(described, "name", param)
    function = function_name(name, namespace)
    if function in tools.declared:
        raise InvalidRequestError(
            "Two tools have the same name. Rename one; a tool of a namespace counts as 'namespace__name'.",
            param=f"{param}.name",
        )
    tools.declared[function] = DeclaredTool(name, namespace, is_custom=kind == "custom")
    wanted = ("description", "parameters", "strict") if kind == "function" else ("description",)
    given = {each: described[each] for each in wanted if not is_null(described.get(each))}
    parameters = {"parameters": _CUSTOM_PARAMETERS} if kind == "custom" else {}
    tools.functions.append(
        {
            "type": Raw(b'"function"'),
            "function": Raw(openai.encode({"name": function, **given, **parameters})),
        }
    )


def _chosen(choice: Fields) -> str | None:
    """Return the function that a tool choice names; None for a tool that was dropped."""
    kind = _text(choice, "type", "tool_choice")
    if kind not in {"function", "custom"}:
        return None
    nested = choice.get("function")
    named = choice if nested is None or "name" in choice else _object(nested, "tool_choice.function")
    namespace = None if is_null(named.get("namespace")) else _text(named, "namespace", "tool_choice")
    return function_name(_text(named, "name", "tool_choice"), namespace)


def _name_of(function: Fields) -> str:
    return openai.decode_string(openai.decode_fields(function["function"])["name"])


def _text(fields: Fields, name: str, param: str) -> str:
    try:
        return openai.decode_string(fields[name])
    except (*MALFORMED, KeyError):
        raise InvalidRequestError(f"'{param}' needs a '{name}', which is a string.", param=f"{param}.{name}") from None


def _listed(raw: Raw, param: str) -> list[Fields]:
    try:
        return _decode_tools(raw)
    except MALFORMED:
        reason = f"'{param}' must be a list of objects."
        raise InvalidRequestError(reason, param=param, code="invalid_type") from None


def _object(raw: Raw, param: str) -> Fields:
    try:
        return openai.decode_fields(raw)
    except MALFORMED:
        reason = f"'{param}' must be a string or an object."
        raise InvalidRequestError(reason, param=param, code="invalid_type") from None
