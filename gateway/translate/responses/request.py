"""Parse a request of the Responses API as one of chat completions. Fields that are unknown pass through unchanged."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Raw

from gateway.apis import CHAT_COMPLETIONS
from gateway.errors import InvalidRequestError
from gateway.translate.request import ClientRequest, build_request, read_fields
from gateway.translate.responses.input_items import messages_of
from gateway.translate.responses.tools import DeclaredTool, Tools, read_tool_choice, read_tools
from gateway.translate.responses.unsupported import refuse_stateful
from gateway.wire import openai
from gateway.wire.lenient import integer_of, is_null
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields

_OWN = frozenset({
    "background", "client_metadata", "context_management", "conversation", "include", "input", "instructions",
    "max_output_tokens", "max_tool_calls", "messages", "moderation", "n", "previous_response_id", "prompt",
    "prompt_cache_retention", "reasoning", "safety_identifier", "store", "stream_options", "text", "tool_choice",
    "tools", "truncation",
})  # fmt: skip
"""Fields that do not reach the worker in this form."""
_ECHOED = (
    "frequency_penalty", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls",
    "presence_penalty", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "temperature", "text",
    "tool_choice", "top_logprobs", "top_p", "truncation", "user",
)  # fmt: skip
_LOGPROBS = "message.output_text.logprobs"
_Value = TypeVar("_Value")
_decode_names = msgspec.json.Decoder(list[str] | None).decode


class ResponsesRequest(ClientRequest, frozen=True, kw_only=True):
    """Represent a chat request that was made from a request of the Responses API."""

    echo: Fields
    """Fields of the client's request that the response repeats."""
    declared: dict[str, DeclaredTool]
    """Tools as the client declared them, by the names of their functions in the chat request."""


def read_responses_request(body: bytes | bytearray) -> ResponsesRequest:
    """Parse and validate a client's body.

    Raises:
        InvalidRequestError: The body cannot be read, or needs something that the gateway does not have.
    """
    fields = read_fields(body)
    refuse_stateful(fields)
    tools = read_tools(fields.get("tools"))
    chat = chat_fields(fields, tools)
    base = build_request(CHAT_COMPLETIONS, chat, body_bytes=len(body))
    known = {name: getattr(base, name) for name in base.__struct_fields__}
    echo = {name: fields[name] for name in _ECHOED if not is_null(fields.get(name))}
    echo["tools"] = openai.join_objects(tools.echo)
    return ResponsesRequest(**{**known, "dropped_tools": tools.dropped}, echo=echo, declared=tools.declared)


def chat_fields(fields: Fields, tools: Tools) -> Fields:
    """Return the fields of the chat request; errors as for `read_responses_request`."""
    chat = {name: value for name, value in fields.items() if name not in _OWN and not is_null(value)}
    chat["messages"] = messages_of(fields)
    choice = read_tool_choice(fields.get("tool_choice"), tools)
    if tools.functions:
        chat["tools"] = openai.join_objects(tools.functions)
    else:
        chat.pop("parallel_tool_calls", None)
    if choice is not None:
        chat["tool_choice"] = choice
    if not is_null(fields.get("max_output_tokens")):
        chat["max_completion_tokens"] = fields["max_output_tokens"]
    effort = _object(fields, "reasoning").get("effort")
    if effort is not None and not is_null(effort):
        chat["reasoning_effort"] = effort
    if (response_format := _response_format(_object(fields, "text"))) is not None:
        chat["response_format"] = response_format
    wants_some = (integer_of(fields.get("top_logprobs")) or 0) > 0
    if wants_some or _LOGPROBS in (_read(fields, "include", _decode_names, "a list of strings") or ()):
        chat["logprobs"] = Raw(b"true")
    elif "logprobs" not in chat:
        chat.pop("top_logprobs", None)
    return chat


def _response_format(text: Fields) -> Raw | None:
    """Convert `text.format`: the schema, its name and its strictness are one level deeper in chat completions."""
    if is_null(text.get("format")):
        return None
    described = _object(text, "format", "text.format")
    kind = described.pop("type", Raw(b'"text"'))
    if bytes(kind) == b'"text"':
        return None
    if bytes(kind) == b'"json_schema"':
        given = {name: value for name, value in described.items() if not is_null(value)}
        return Raw(openai.encode({"type": kind, "json_schema": given}))
    return Raw(openai.encode({"type": kind, **described}))


def _object(fields: Fields, name: str, param: str | None = None) -> Fields:
    return _read(fields, name, openai.decode_fields, "an object", param) if not is_null(fields.get(name)) else {}


def _read(fields: Fields, name: str, decode: Callable[[Raw], _Value], wanted: str, param: str | None = None) -> _Value:
    try:
        return decode(fields.get(name, Raw(b"null")))
    except MALFORMED:
        param = param or name
        raise InvalidRequestError(f"'{param}' must be {wanted}.", param=param, code="invalid_type") from None
