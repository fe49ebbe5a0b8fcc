"""Parse a Messages request, and translate it to the request of a chat completion.

Fields of Anthropic's API that a chat completion has no equivalent of are left out: `cache_control`, `metadata`,
`context_management`, `service_tier` and whatever its clients' betas add. Sampling parameters of workers pass through.
"""

from typing import Any

import msgspec
from msgspec import Raw

from gateway.apis import CHAT_COMPLETIONS
from gateway.errors import InvalidRequestError
from gateway.translate.messages.body import MessagesBody, OutputFormat, decode_body
from gateway.translate.messages.conversation import chat_messages
from gateway.translate.messages.tools import tool_fields
from gateway.translate.request import (
    ClientRequest,
    check_bounds,
    decoding_error,
    missing_parameter,
    read_request,
)
from gateway.wire import openai
from gateway.wire.lenient import is_null, is_object
from gateway.wire.openai import Fields

JsonObject = dict[str, Any]
_PASSED = frozenset({
    "temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "min_tokens", "stop_token_ids", "ignore_eos", "skip_special_tokens", "spaces_between_special_tokens",
    "bad_words", "length_penalty", "chat_template_kwargs", "structured_outputs", "guided_json", "guided_regex",
    "guided_choice", "guided_grammar", "priority", "cache_salt", "reasoning_effort", "include_reasoning",
})  # fmt: skip
"""Fields that are sent to the worker under their own names: Anthropic's three, and those of vLLM and SGLang."""
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""Anthropic's levels of effort, and the three that all workers know."""
_SCHEMA_NAME = "answer"
"""Name of the schema of an answer, which OpenAI's API requires and Anthropic's has not."""


def read_messages_request(body: bytes | bytearray) -> ClientRequest:
    """Parse and validate a body, and translate it.

    Raises:
        InvalidRequestError: It is not valid, or asks for something that no worker can do.
    """
    asked, fields = _decoded(body)
    if asked.max_tokens is None:
        raise missing_parameter("max_tokens")
    return _translated(asked, fields, body)


def read_count_request(body: bytes | bytearray) -> ClientRequest:
    """Parse and validate the body of a request that only counts the tokens of its prompt, and translate it.

    Raises:
        InvalidRequestError: It is not valid.
    """
    return _translated(*_decoded(body), body)


def _decoded(body: bytes | bytearray) -> tuple[MessagesBody, Fields]:
    check_bounds(body)
    try:
        return decode_body(body), openai.decode_fields(body)
    except msgspec.DecodeError as error:
        raise decoding_error(error) from None


def _translated(asked: MessagesBody, fields: Fields, body: bytes | bytearray) -> ClientRequest:
    if not asked.messages:
        raise InvalidRequestError("'messages' must contain at least one message.", param="messages")
    passed = {name: fields[name] for name in fields if name in _PASSED and not is_null(fields[name])}
    chat = {
        "model": asked.model,
        "messages": chat_messages(asked.system, asked.messages),
        "max_tokens": asked.max_tokens,
        "stream": asked.stream,
        "stop": asked.stop_sequences or None,
        "reasoning_effort": _effort(asked),
        "response_format": _response_format(asked),
        **tool_fields(asked.tools, asked.tool_choice),
        **passed,
    }
    encoded = openai.encode({name: value for name, value in chat.items() if value is not None})
    request = read_request(CHAT_COMPLETIONS, encoded)
    return msgspec.structs.replace(request, body_bytes=max(len(body), len(encoded)))


def _effort(asked: MessagesBody) -> str | None:
    """Return the effort that is asked for; None lets the worker decide, as without thinking."""
    is_off = asked.thinking is not None and asked.thinking.type == "disabled"
    if is_off or asked.output_config is None or asked.output_config.effort is None:
        return None
    return _EFFORTS.get(asked.output_config.effort)


def _response_format(asked: MessagesBody) -> JsonObject | None:
    """Return the form of the answer, None for free text.

    Raises:
        InvalidRequestError: The form is not a JSON schema.
    """
    config = asked.output_config
    form: OutputFormat | None = asked.output_format if config is None or config.format is None else config.format
    if form is None:
        return None
    if form.type != "json_schema" or not is_object(form.schema):
        reason = "The format of the output must be of type 'json_schema', with a 'schema'."
        raise InvalidRequestError(reason, param="output_config", code="unsupported_value")
    schema: Raw = form.schema
    return {"type": "json_schema", "json_schema": {"name": _SCHEMA_NAME, "schema": schema}}


def stop_sequences(request: ClientRequest) -> frozenset[str]:
    """Return the texts at which the client wants the answer to end."""
    stop = request.fields.get("stop")
    return frozenset() if stop is None else frozenset(msgspec.json.decode(stop, type=list[str]))
