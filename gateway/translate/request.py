"""A client's body: read for what decides, kept as it came for the worker."""

import re
from collections.abc import Container

import msgspec
from msgspec import Raw

from gateway.domain import Api
from gateway.errors import InvalidRequestError
from gateway.wire import openai
from gateway.wire.json_bounds import DEPTH_MAX, PARTS_MAX, is_within_bounds
from gateway.wire.openai import Fields, RequestView

N_MAX = 128
"""OpenAI's own bound for `n`."""
MODEL_NAME_LENGTH_MAX = 512
_NEEDED = {Api.CHAT_COMPLETIONS: "messages", Api.COMPLETIONS: "prompt", Api.EMBEDDINGS: "input"}
_PROMPTS = frozenset(_NEEDED.values())
LARGE_BYTES = 1024 * 1024
"""To read or to write such a body takes milliseconds."""


class ClientRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that can be served: what we decide by, and every field as it came."""

    api: Api
    model: str
    stream: bool
    wants_usage: bool
    """Asked for a usage chunk at the end of the stream."""
    wants_continuous_usage: bool
    """Asked for usage on each chunk, as vLLM offers."""
    n: int
    max_tokens: int | None
    encoding_format: str | None
    fields: Fields
    body_bytes: int
    """What the request holds of memory, as long as it is not answered."""
    prompt_bytes: int
    """The size of what the worker has to read, for estimates."""


def read_request(api: Api, body: bytes | bytearray) -> ClientRequest:
    """Read a client's body.

    Raises:
        InvalidRequestError: Not JSON, not an object, or a field we decide by is missing or of a wrong type.
    """
    if not body.isascii():
        _refuse_bad_utf8(body)
    if not is_within_bounds(body):
        reason = f"The body is nested more than {DEPTH_MAX} levels deep, or has more than {PARTS_MAX} fields and lists."
        raise InvalidRequestError(reason, code="invalid_json")
    try:
        fields = openai.decode_fields(body)
        # A large prompt that was read once need not be read again.
        rest = body if len(body) <= LARGE_BYTES else openai.encode(_without(fields, _PROMPTS))
        view = openai.decode_request(rest)
    except msgspec.ValidationError as error:
        raise _explain(error) from None
    except msgspec.DecodeError:
        raise InvalidRequestError("The body is not valid JSON. Send a JSON object.", code="invalid_json") from None
    _check(api, view, fields)
    options = view.stream_options
    stream = bool(view.stream) and api is not Api.EMBEDDINGS
    return ClientRequest(
        api=api,
        model=view.model,
        stream=stream,
        wants_usage=stream and options is not None and bool(options.include_usage),
        wants_continuous_usage=stream and options is not None and bool(options.continuous_usage_stats),
        n=view.n or 1,
        max_tokens=view.max_completion_tokens or view.max_tokens,
        encoding_format=view.encoding_format,
        fields=fields,
        body_bytes=len(body),
        prompt_bytes=sum(openai.size_of(fields[name]) for name in _PROMPTS if name in fields),
    )


def worker_fields(request: ClientRequest, *, upstream_model: str) -> Fields:
    """The body for an OpenAI-compatible worker: the client's own, under the worker's name for the model.

    A stream always asks for usage, since tokens are charged whether or not the client wants to see them; the writer
    of the chunks takes it out again. `stream_options` without a stream is dropped: vLLM refuses it.
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


_LIST = re.compile(rb"\[\s*(\])?")
_PATH = re.compile(r" - at `\$\.?(.*?)`$")


def _explain(error: msgspec.ValidationError) -> InvalidRequestError:
    """Say in the client's words what msgspec found; its messages name types and fields, never values."""
    text = str(error)
    if missing := re.search(r"missing required field `(\w+)`", text):
        return _missing(missing[1])
    if (path := _PATH.search(text)) is None:
        return InvalidRequestError("The body has to be a JSON object.", code="invalid_type")
    return InvalidRequestError(f"{_PATH.sub('', text)} for '{path[1]}'.", param=path[1] or None, code="invalid_type")


def _check_messages(messages: Raw) -> None:
    """Look at the list without taking it apart: of small things it can hold half as many as it has bytes."""
    begin = _LIST.match(memoryview(messages))
    if begin is None:
        raise InvalidRequestError("'messages' has to be a list.", param="messages", code="invalid_type")
    if begin[1]:
        raise InvalidRequestError("'messages' has to hold at least one message.", param="messages")


def _missing(name: str) -> InvalidRequestError:
    return InvalidRequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _check(api: Api, view: RequestView, fields: Fields) -> None:
    prompt = fields.get(_NEEDED[api])
    if prompt is None:
        raise _missing(_NEEDED[api])
    if api is Api.CHAT_COMPLETIONS:
        _check_messages(prompt)
    if not 0 < len(view.model) <= MODEL_NAME_LENGTH_MAX:
        raise InvalidRequestError("'model' has to be a name.", param="model")
    if view.n is not None and not 1 <= view.n <= N_MAX:
        raise InvalidRequestError(f"'n' has to lie between 1 and {N_MAX}.", param="n")
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(view, name)
        if value is not None and value < 1:
            raise InvalidRequestError(f"'{name}' has to be at least 1.", param=name)
    if view.encoding_format not in (None, "float", "base64"):
        raise InvalidRequestError("'encoding_format' is 'float' or 'base64'.", param="encoding_format")
