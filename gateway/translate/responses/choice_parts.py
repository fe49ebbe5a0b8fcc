"""Read the parts of output items from the normalized choices of a chat completion: reasoning, then text, then calls."""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.translate.responses.output_items import NO_LOGPROBS, Item, Message, Reasoning, Refusal, text_in
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, Fields

Kind = type[Item] | int
"""Class of an item of text, or the index of a tool call: parts of the same kind continue an item."""


class Part(msgspec.Struct, eq=False):
    """Hold a part of an item: its text, and what it takes to open the item."""

    kind: Kind
    text: bytes | bytearray = b""
    logprobs: bytes = NO_LOGPROBS
    call_id: str = ""
    name: str = ""


class _Payload(msgspec.Struct):
    name: str | None = None
    arguments: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET


class _CallPart(msgspec.Struct):
    index: int
    id: str | None = None
    function: _Payload | None = None
    custom: _Payload | None = None


class _Delta(msgspec.Struct):
    content: Raw = NULL
    reasoning: Raw = NULL
    reasoning_content: Raw = NULL
    refusal: Raw = NULL
    tool_calls: list[_CallPart] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    logprobs: Raw = NULL
    finish_reason: str | None = None


class _Logprobs(msgspec.Struct):
    content: list[Fields] | None = None


_decode_choices = msgspec.json.Decoder(list[_Choice]).decode
_decode_logprobs = msgspec.json.Decoder(_Logprobs | None).decode


def read_parts(choices: Raw) -> tuple[list[Part], str | None]:
    """Return the parts that the first choice holds, in order, and its finish reason.

    Raises:
        msgspec.ValidationError: A delta is not in OpenAI's format.
    """
    parts: list[Part] = []
    reason = None
    for choice in _decode_choices(choices):
        # A response has one choice; some workers add empty ones.
        if not choice.index:
            reason = choice.finish_reason or reason
            if choice.delta is not None:
                parts += _texts(choice.delta, choice.logprobs)
                parts += map(_call, choice.delta.tool_calls or ())
    return parts, reason


def _texts(delta: _Delta, logprobs: Raw) -> Iterator[Part]:
    # Workers that send both names of the reasoning send the same text.
    if reasoning := text_in(delta.reasoning) or text_in(delta.reasoning_content):
        yield Part(Reasoning, reasoning)
    if content := text_in(delta.content):
        yield Part(Message, content, _encoded_logprobs(logprobs))
    if refusal := text_in(delta.refusal):
        yield Part(Refusal, refusal)


def _call(call: _CallPart) -> Part:
    payload = call.function or call.custom or _Payload()
    text = payload.input if payload.arguments is UNSET else payload.arguments
    said = b"" if text is UNSET else text_in(text)
    return Part(call.index, said, call_id=call.id or "", name=payload.name or "")


def _encoded_logprobs(raw: Raw) -> bytes:
    """Return the list of log probabilities; an empty one if they have another form."""
    if raw is NULL:
        return NO_LOGPROBS
    try:
        decoded = _decode_logprobs(raw)
    except MALFORMED:
        return NO_LOGPROBS
    return NO_LOGPROBS if decoded is None or not decoded.content else openai.encode(decoded.content)
