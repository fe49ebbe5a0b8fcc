"""Convert embeddings to the encoding that the client requested.

openai-python, openai-node and LangChain request base64 by default, and openai-node decodes the value without checking
its type; not every worker knows the parameter.
"""

import base64
import binascii
import struct

from msgspec import Raw

from gateway.domain import Usage
from gateway.errors import OutputLostError
from gateway.translate.request import ClientRequest
from gateway.translate.usage import usage_fields
from gateway.wire import openai
from gateway.wire.lenient import integer_of
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Embedding, EmbeddingView, Fields


def finish_embeddings(whole: Fields, request: ClientRequest, *, usage: Usage) -> bytes:
    """Return the answer's JSON, with its embeddings re-encoded if necessary.

    Raises:
        OutputLostError: The worker sent something other than the requested embeddings.
    """
    try:
        data = openai.decode_embeddings(whole.get("data", b""))
        if len(data) < request.expected_choices or not all(item.embedding for item in data):
            raise OutputLostError(f"The worker returned {len(data)} of {request.expected_choices} embeddings.")
        wants_base64 = request.encoding_format == "base64"
        indexes = _indexes(data)
        is_right = all(
            _is_right(item, index, wants_base64=wants_base64) for item, index in zip(data, indexes, strict=True)
        )
        if not is_right:
            encoded = [
                Embedding(embedding=_encoded(item.embedding, wants_base64=wants_base64), index=index)
                for item, index in zip(data, indexes, strict=True)
            ]
            whole = {**whole, "data": Raw(openai.encode(encoded))}
    except (*MALFORMED, binascii.Error, struct.error):
        raise OutputLostError("The worker's answer is not a list of embeddings.") from None
    own = {
        "object": "list",
        "model": request.model,
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage_fields(usage)["total_tokens"]},
    }
    return openai.encode({**whole, **own})


def _is_right(item: EmbeddingView, index: int, *, wants_base64: bool) -> bool:
    """Return True if an embedding can be passed on unchanged."""
    if bytes(item.index) != str(index).encode() or bytes(item.object) != b'"embedding"':
        return False
    if isinstance(item.embedding, str):
        return wants_base64 and _standard(item.embedding) == item.embedding
    return not wants_base64


def _indexes(data: list[EmbeddingView]) -> list[int]:
    """Return the index of each embedding: the worker's indexes, or positions if those are not unique and in range.

    Gemini's API omits an index of 0 (spring-ai#7020), so a missing index becomes the lowest unused one.
    """
    read = [integer_of(item.index) for item in data]
    given = [index for index in read if index is not None]
    if len(set(given)) < len(given) or not all(0 <= index < len(data) for index in given):
        return list(range(len(data)))
    free = iter(sorted(set(range(len(data))) - set(given)))
    return [next(free) if index is None else index for index in read]


def _encoded(embedding: list[float] | str, *, wants_base64: bool) -> list[float] | str:
    match embedding:
        case list() as numbers if wants_base64:
            return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        case str() as text if wants_base64:
            return _standard(text)
        case str() as text:
            packed = base64.b64decode(_standard(text))
            return list(struct.unpack(f"<{len(packed) // 4}f", packed))
        case as_it_is:
            return as_it_is


_FROM_URL_SAFE = str.maketrans("-_", "+/")


def _standard(text: str) -> str:
    """Return base64 in the standard alphabet and with padding, which Python requires and some encoders omit.

    Raises:
        binascii.Error: The text is not base64.
        struct.error: The bytes are not a whole number of floats.
    """
    standard = text.translate(_FROM_URL_SAFE) + "=" * (-len(text) % 4)
    if len(base64.b64decode(standard, validate=True)) % 4:
        raise struct.error
    return standard
