"""Parse a client's request: decode the fields that the gateway interprets, keep all others unchanged for the worker."""

import re
from collections.abc import Container

import msgspec
from msgspec import Raw

from gateway.apis import Api
from gateway.errors import InvalidRequestError
from gateway.translate.prompt_size import prompt_tokens_estimate
from gateway.wire import openai
from gateway.wire.json_bounds import DEPTH_MAX, PARTS_MAX, is_within_bounds
from gateway.wire.lenient import integer_of, is_null
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields, RequestView

N_MAX = 128
"""Maximum `n`, OpenAI's own limit."""
MODEL_NAME_LENGTH_MAX = 512
COMPLETION_TOKENS_GUESS = 256
"""Tokens reserved for each choice of a request without a maximum, until its real usage is known."""
LARGE_BYTES = 1024 * 1024
"""Size in bytes above which parsing or encoding a body takes milliseconds."""


class ClientRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a valid request: the interpreted values, and every field unchanged."""

    api: Api
    model: str
    stream: bool
    wants_usage: bool
    """True if the client requested a usage chunk at the end of the stream."""
    wants_continuous_usage: bool
    """True if the client requested usage on each chunk, a vLLM extension."""
    n: int
    expected_choices: int
    """Number of choices or embeddings in a complete answer: `n` for each prompt."""
    max_tokens: int | None
    """As the client sent it: the worker validates 0 and negative numbers."""
    encoding_format: str | None
    fields: Fields
    body_bytes: int
    """Size of the body in bytes: memory that the request holds until it is answered."""
    prompt_tokens: int
    """Estimated number of tokens of the prompt."""
    dropped_tools: tuple[str, ...] = ()
    """Types of tools that the client declared and that no worker can run, for a header of the response."""


def read_request(api: Api, body: bytes | bytearray) -> ClientRequest:
    """Parse and validate a client's body.

    Raises:
        InvalidRequestError: The body is not a JSON object or exceeds the limits, or an interpreted field is missing or
            invalid.
    """
    fields = read_fields(body)
    # A large prompt was parsed once, and is not parsed again.
    rest = body if len(body) <= LARGE_BYTES else None
    return build_request(api, fields, body_bytes=len(body), rest=rest)


def read_fields(body: bytes | bytearray) -> Fields:
    """Parse a client's body as far as its fields.

    Raises:
        InvalidRequestError: The body is not a JSON object or exceeds the limits.
    """
    check_bounds(body)
    try:
        return openai.decode_fields(body)
    except msgspec.DecodeError as error:
        raise decoding_error(error) from None


def build_request(api: Api, fields: Fields, *, body_bytes: int, rest: bytes | bytearray | None = None) -> ClientRequest:
    """Validate the fields of a request; `rest` holds them as JSON, with or without the prompt.

    Raises:
        InvalidRequestError: An interpreted field is missing or invalid.
    """
    try:
        view = openai.decode_request(openai.encode(_without(fields, api.prompt_fields)) if rest is None else rest)
    except msgspec.DecodeError as error:
        raise decoding_error(error) from None
    _check(api, view, fields)
    options, n = view.stream_options, view.n or 1
    stream = bool(view.stream) and api.has_choices
    return ClientRequest(
        api=api,
        model=view.model,
        stream=stream,
        wants_usage=stream and options is not None and bool(options.include_usage),
        wants_continuous_usage=stream and options is not None and bool(options.continuous_usage_stats),
        n=n,
        expected_choices=_prompt_count(api, fields) * (n if api.has_choices else 1),
        max_tokens=view.max_tokens if view.max_completion_tokens is None else view.max_completion_tokens,
        encoding_format=view.encoding_format,
        fields=fields,
        body_bytes=body_bytes,
        prompt_tokens=prompt_tokens_estimate(api, fields),
    )


def check_bounds(body: bytes | bytearray) -> None:
    """Check, before a body is decoded, that it is UTF-8 and that its structure is within the limits.

    Raises:
        InvalidRequestError: It is not.
    """
    if not body.isascii():
        _refuse_bad_utf8(body)
    if not is_within_bounds(body):
        reason = f"The body is nested more than {DEPTH_MAX} levels deep, or has more than {PARTS_MAX} fields and lists."
        raise InvalidRequestError(reason, code="invalid_json")


def decoding_error(error: msgspec.DecodeError) -> InvalidRequestError:
    """Convert msgspec's error for a body; its messages contain types and field names but never values."""
    if isinstance(error, msgspec.ValidationError):
        return _explain(error)
    return InvalidRequestError("The body is not valid JSON. Send a JSON object.", code="invalid_json")


def tokens_to_reserve(request: ClientRequest) -> int:
    """Estimate the tokens that a request may cost: all its prompts, and answers of maximum length to each.

    `best_of` sequences are generated for each prompt, although only `n` are returned (OpenAI, "Create completion").
    """
    if not request.api.has_choices:
        return request.prompt_tokens
    tokens_max = request.max_tokens
    if tokens_max is None or tokens_max < 0:
        # Workers that accept a negative number treat it as no maximum.
        tokens_max = COMPLETION_TOKENS_GUESS
    prompts, best_of = request.expected_choices // request.n, integer_of(request.fields.get("best_of")) or 0
    return request.prompt_tokens + tokens_max * prompts * max(request.n, best_of)


def tool_names(request: ClientRequest) -> frozenset[str]:
    """Return the names of the tools that a request declares; empty if they cannot be read."""
    try:
        tools = _decode_tools(request.fields.get("tools", b"null")) or ()
    except MALFORMED:
        return frozenset()
    return frozenset(tool.function.name for tool in tools if tool.function is not None and tool.function.name)


def worker_fields(request: ClientRequest, *, upstream_model: str) -> Fields:
    """Return the body for an OpenAI-compatible worker: the client's fields with the worker's name for the model.

    A stream always requests usage, because tokens are charged even if the client does not request usage; the chunk
    writer removes it again. `stream_options` without a stream is dropped: vLLM rejects it.
    """
    fields = {**request.fields, "model": Raw(openai.encode(upstream_model))}
    if not request.stream:
        fields.pop("stream_options", None)
        return fields
    options = openai.decode_fields(fields["stream_options"]) if openai.is_present(fields, "stream_options") else {}
    fields["stream_options"] = Raw(openai.encode({**options, "include_usage": True}))
    return fields


def _without(fields: Fields, names: Container[str]) -> Fields:
    return {name: value for name, value in fields.items() if name not in names}


def _refuse_bad_utf8(body: bytes | bytearray) -> None:
    try:
        body.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not valid UTF-8.", code="invalid_json") from None


class _ToolFunction(msgspec.Struct):
    name: str = ""


class _Tool(msgspec.Struct):
    function: _ToolFunction | None = None


_decode_tools = msgspec.json.Decoder(list[_Tool] | None).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode


def _prompt_count(api: Api, fields: Fields) -> int:
    """Return the number of prompts or inputs of a request: a list of token ids is one prompt."""
    name = _prompt_field(api, fields)
    value = fields[name]
    if name == "messages" or _LIST.match(memoryview(value)) is None:
        return 1
    prompts = _decode_list(value)
    return len(prompts) if any(bytes(prompt)[:1] in _PROMPT_STARTS for prompt in prompts) else 1


def _prompt_field(api: Api, fields: Fields) -> str:
    """Return the name of the field that holds the prompt; OpenAI's own name if there is none."""
    names = api.prompt_fields
    return next((name for name in names if not is_null(fields.get(name))), names[0])


_PROMPT_STARTS = frozenset({b'"', b"[", b"{"})
_LIST = re.compile(rb"\[\s*(\])?")
_PATH = re.compile(r" - at `\$\.?(.*?)`$")


def _explain(error: msgspec.ValidationError) -> InvalidRequestError:
    text = str(error)
    if missing := re.search(r"missing required field `(\w+)`", text):
        return missing_parameter(missing[1])
    if (path := _PATH.search(text)) is None:
        return InvalidRequestError("The body must be a JSON object.", code="invalid_type")
    return InvalidRequestError(f"{_PATH.sub('', text)} for '{path[1]}'.", param=path[1] or None, code="invalid_type")


def _check_messages(messages: Raw) -> None:
    """Check that `messages` is a non-empty list, without decoding it.

    A list of small entries can hold half as many as it has bytes, and decoding would create an object for each.
    """
    begin = _LIST.match(memoryview(messages))
    if begin is None:
        raise InvalidRequestError("'messages' must be a list.", param="messages", code="invalid_type")
    if begin[1]:
        raise InvalidRequestError("'messages' must contain at least one message.", param="messages")


def _check_prompt(name: str, prompt: Raw) -> None:
    """Reject a prompt that no worker can answer: otherwise a job would be spent to learn this."""
    if is_null(prompt):
        raise missing_parameter(name)
    begin = _LIST.match(memoryview(prompt))
    if begin is None and bytes(prompt)[:1] != b'"':
        raise InvalidRequestError(f"'{name}' must be a string or a list.", param=name, code="invalid_type")
    if begin is not None and begin[1]:
        raise InvalidRequestError(f"'{name}' must contain at least one entry.", param=name)


def missing_parameter(name: str) -> InvalidRequestError:
    """Return the error for a required field that a body lacks."""
    return InvalidRequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _check(api: Api, view: RequestView, fields: Fields) -> None:
    name = _prompt_field(api, fields)
    if name not in fields:
        raise missing_parameter(name)
    if name == "messages":
        _check_messages(fields[name])
    else:
        _check_prompt(name, fields[name])
    if not 0 < len(view.model) <= MODEL_NAME_LENGTH_MAX:
        raise InvalidRequestError(f"'model' must be a name of 1 to {MODEL_NAME_LENGTH_MAX} characters.", param="model")
    if view.n is not None and not 1 <= view.n <= N_MAX:
        raise InvalidRequestError(f"'n' must be between 1 and {N_MAX}.", param="n")
    if view.encoding_format not in (None, "float", "base64"):
        raise InvalidRequestError("'encoding_format' must be 'float' or 'base64'.", param="encoding_format")
