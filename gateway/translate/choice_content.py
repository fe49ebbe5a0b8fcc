"""Read the content of a choice from a chunk or a complete answer, in any field and form that workers use.

Chat chunks have a `delta`, complete chat answers a `message`, and text completions a `text`; workers mix up all three.
"""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.translate.worker_errors import error_in, output_error
from gateway.wire import openai
from gateway.wire.lenient import is_empty, is_null, text_of
from gateway.wire.openai import NULL, Fields

_EMPTY = Raw(b'""')
_BESIDE_TEXT = frozenset({"thinking", "reasoning", "redacted_thinking", "reference", "citation"})
"""Keys or types of content parts that hold none of the text, as Mistral and Anthropic write them."""
_NUMBER = b"-0123456789"
_decode_choices = msgspec.json.Decoder(list[Fields | None]).decode
_decode_parts = msgspec.json.Decoder(list[str | Fields]).decode
_decode_any = msgspec.json.Decoder().decode


def read_choices(raw: Raw) -> list[Fields]:
    """Return the choices of a chunk or of a complete answer, without null entries.

    Raises:
        msgspec.ValidationError: The value is not a list of objects.
    """
    return [] if is_empty(raw) else [choice for choice in _decode_choices(raw) if choice is not None]


def raise_choice_error(choice: Fields) -> None:
    """Check a choice for an error instead of an answer, as OpenRouter writes it, and remove the `error` field.

    Raises:
        UpstreamError: The worker failed.
    """
    error = choice.pop("error", None)
    if not is_empty(error) and (detail := error_in({"error": _decode_any(error or NULL)})) is not None:
        raise output_error(detail)


def delta_of(choice: Fields) -> tuple[Fields, bool]:
    """Return the delta of a chat chunk's choice, and True if it is a complete message: delta, else message, else text.

    Raises:
        msgspec.ValidationError: None of them can be read.
    """
    delta = {} if is_empty(choice.get("delta")) else _object_or_text(choice["delta"])
    if any(not is_empty(value) for name, value in delta.items() if name != "role"):
        return delta, False
    if not is_empty(choice.get("message")):
        return _object_or_text(choice["message"]), True
    if not is_empty(choice.get("text")):
        return {"content": choice["text"]}, False
    return delta, False


def message_of(choice: Fields) -> Fields | None:
    """Return the message of a complete chat answer: message, else delta, else text; None if all are absent.

    Raises:
        msgspec.ValidationError: The field cannot be read.
    """
    for name in ("message", "delta", "text"):
        if name in choice and not is_null(choice[name]):
            return {} if is_empty(choice[name]) else _object_or_text(choice[name])
    return None


def completion_text_of(choice: Fields) -> Raw | None:
    """Return the text of a text completion's choice as JSON: text, else delta's or message's content; None if absent.

    Raises:
        msgspec.ValidationError: The field cannot be read.
    """
    text = content_of(choice.get("text"))
    if not is_null(text):
        return text
    for name in ("delta", "message"):
        if not is_empty(choice.get(name)):
            content = content_of(_object_or_text(choice[name]).get("content"))
            return _EMPTY if is_null(content) else content
    return _EMPTY if "text" in choice else None


def content_of(content: Raw | None) -> Raw:
    """Return a content as a JSON string or null; a number becomes its digits, and a list of strings or parts is joined.

    worker-vllm 0.2 wrote a batch as a list of strings; Mistral's API writes a list of parts, including its thinking,
    which does not belong to the text; servers that guess types write 5 for "5".

    Raises:
        msgspec.ValidationError: The content has another type.
    """
    if is_empty(content):
        return NULL if content is None or bytes(content) != b'""' else content
    first = bytes(content or b"")[:1]
    if first == b'"':
        return content or NULL
    if first in _NUMBER:
        return Raw(openai.encode(text_of(content)))
    if first == b"{":
        return Raw(openai.encode(_text_of_part(openai.decode_fields(content or b"{}"))))
    return Raw(openai.encode("".join(map(_text_of_part, _decode_parts(content or b"[]")))))


def text_size(text: Raw | UnsetType) -> int:
    """Return the size of a JSON string in bytes, without its quotes; 0 for null and an absent value."""
    return 0 if text is UNSET or bytes(text) == b"null" else len(bytes(text)) - 2


def delta_size(delta: Fields) -> int:
    """Return the bytes of text in a delta; the two names of the reasoning are counted once."""
    sizes = {name: max(0, text_size(value)) for name, value in delta.items()}
    twice = min(sizes.get("reasoning", 0), sizes.get("reasoning_content", 0))
    return sum(sizes.values()) - twice


def _text_of_part(part: str | Fields) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text")
    if is_null(text) and (text is not None or _BESIDE_TEXT & {*part, text_of(part.get("type"))}):
        return ""
    if text is None or bytes(text)[:1] != b'"':
        raise msgspec.ValidationError("a content part that is not text")
    return openai.decode_string(text)


def _object_or_text(value: Raw | None) -> Fields:
    """Return a delta or a message; a string in its place becomes its content."""
    if value is not None and bytes(value)[:1] == b'"':
        return {"content": value}
    return openai.decode_fields(value or b"{}")
