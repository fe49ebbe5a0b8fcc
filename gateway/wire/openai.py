"""Parse and encode OpenAI's JSON, as far as the gateway interprets it.

Values that are only forwarded stay bytes: an object is decoded into its fields, each of them raw. Source:
openai/openai-openapi.
"""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Raw, UnsetType

Fields = dict[str, Raw]
"""JSON object whose values are not decoded."""

Parts = tuple[bytes | memoryview, ...]
"""Large text in pieces, which are not copied."""

NULL = Raw(b"null")

decode_fields = msgspec.json.Decoder(Fields).decode
decode_objects = msgspec.json.Decoder(list[Fields]).decode
decode_string = msgspec.json.Decoder(str).decode


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the client's `stream_options`."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the fields of a request that the gateway interprets; all others are forwarded unchanged."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    messages: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    encoding_format: str | None = None


class DeltaView(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the interpreted fields of a choice's delta."""

    role: str | UnsetType | None = UNSET
    content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    reasoning_content: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET
    tool_calls: Raw | UnsetType = UNSET


class ChoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the interpreted fields of a choice in a chunk, of chat (`delta`) or text (`text`) completions."""

    index: int | None = None
    delta: DeltaView | None = None
    message: Raw | UnsetType = UNSET
    text: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    finish_reason: str | UnsetType | None = UNSET


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """Hold token counts; a worker may omit any of them or write null."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the `error` object of an error answer.

    OpenAI's description requires all four keys, and `code` as a string.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Represent an error answer, as a response body or as an event in a stream."""

    error: ErrorDetail


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one entry of the model list."""

    id: str
    created: int
    owned_by: str
    object: str = "model"


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the answer to GET /v1/models."""

    data: list[ModelCard]
    object: str = "list"


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one embedding, as numbers or as base64 of little-endian 32-bit floats."""

    embedding: list[float] | str
    index: int
    object: str = "embedding"


class EmbeddingView(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the interpreted fields of a worker's embedding."""

    embedding: list[float] | str
    index: Raw = NULL
    object: Raw = NULL


decode_request = msgspec.json.Decoder(RequestView).decode
decode_choices = msgspec.json.Decoder(list[ChoiceView]).decode
decode_usage = msgspec.json.Decoder(UsageView, strict=False).decode
decode_embeddings = msgspec.json.Decoder(list[EmbeddingView]).decode
encode = msgspec.json.encode


PART_BYTES = 256 * 1024
"""Size in bytes above which a value is sent as a separate part, without copying it."""


def size_of(raw: Raw | bytes) -> int:
    """Return the size of a value in bytes, without copying it."""
    return memoryview(raw).nbytes


def is_present(fields: Fields, name: str) -> bool:
    """Return True if the object has this field with a value other than null."""
    value = fields.get(name)
    return value is not None and bytes(value) != b"null"


def join_fields(fields: Fields) -> Parts:
    """Encode an object in parts, without copying values larger than `PART_BYTES`.

    Each large value is a part of its own; the bytes between large values are joined into one part each.
    """
    parts: list[bytes | memoryview] = []
    small: list[bytes | Raw] = []
    for name, value in fields.items():
        small += (b"," if small or parts else b"{", encode(name), b":")
        if size_of(value) <= PART_BYTES:
            small.append(value)
        else:
            parts += (b"".join(small), memoryview(value))
            small = []
    return (*parts, b"".join([*(small if small or parts else [b"{"]), b"}"]))


def join_objects(objects: Iterable[Fields]) -> Raw:
    """Encode a list of objects."""
    return Raw(encode(list(objects)))
