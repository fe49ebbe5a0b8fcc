"""Convert OpenAI requests for workers with another input format: one prompt, or messages, and sampling parameters."""

import msgspec
from msgspec import Raw

from gateway.errors import InvalidRequestError
from gateway.translate.request import ClientRequest
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields

_SAMPLING = frozenset({
    "n", "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "stop", "stop_token_ids", "seed", "ignore_eos", "min_tokens", "skip_special_tokens", "best_of", "length_penalty",
})  # fmt: skip
"""Names that OpenAI requests and vLLM's SamplingParams share; any other name would make an old worker fail."""

_NEEDS_OPENAI = ("tools", "functions", "response_format", "logprobs", "top_logprobs", "audio")


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode


def refuse_beyond_text(request: ClientRequest) -> None:
    """Reject a request for features that a worker that only continues text would silently ignore.

    Raises:
        InvalidRequestError: The request asks for tools, a response format, log probabilities, audio or embeddings.
    """
    if not request.api.has_choices:
        raise InvalidRequestError(f"This model's worker does not support {request.api.path}.", param="model")
    for name in _NEEDS_OPENAI:
        if not openai.is_present(request.fields, name) or _is_idle(bytes(request.fields[name])):
            continue
        raise InvalidRequestError(
            f"This model's worker does not support '{name}'.", param=name, code="unsupported_value"
        )


def _is_idle(value: bytes) -> bool:
    """Return True if a field's value requests nothing."""
    return value in {b"[]", b"false", b"0"} or value.replace(b" ", b"") == b'{"type":"text"}'


def sampling_params(request: ClientRequest) -> Fields:
    """Return the client's sampling parameters, with the length under its older name `max_tokens`.

    The length is always sent if the client sent one: old workers otherwise stop after 16 or 100 tokens.
    """
    params = {name: value for name, value in request.fields.items() if name in _SAMPLING and bytes(value) != b"null"}
    if request.max_tokens is not None:
        params["max_tokens"] = Raw(openai.encode(request.max_tokens))
    return params


def flatten(request: ClientRequest) -> str:
    """Return the conversation as one prompt that ends with the start of the assistant's message.

    Raises:
        InvalidRequestError: A message contains something other than text, or the prompt is not a single string.
    """
    if not request.api.is_chat:
        return _one_prompt(request)
    try:
        messages = _decode_messages(request.fields["messages"])
    except MALFORMED:
        raise InvalidRequestError("'messages' contains a message without role or text.", param="messages") from None
    lines = [f"{message.role.upper()}: {_text(message)}" for message in messages]
    return "\n".join([*lines, "ASSISTANT:"])


def _one_prompt(request: ClientRequest) -> str:
    try:
        return openai.decode_string(request.fields.get("prompt", b"null"))
    except MALFORMED:
        raise InvalidRequestError(
            "This model's worker accepts only a single string as 'prompt'.", param="prompt"
        ) from None


def _text(message: _Message) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    if any(part.type != "text" for part in message.content):
        raise InvalidRequestError("This model's worker accepts only text.", param="messages", code="unsupported_value")
    return "".join(part.text for part in message.content)
