"""Embeddings in the encoding that the client asked for.

openai-python, openai-node and LangChain ask for base64 by themselves, and openai-node decodes it without looking; not
every worker knows the parameter.
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
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Embedding, Fields


def finish_embeddings(whole: Fields, request: ClientRequest, *, usage: Usage) -> bytes:
    """The answer's JSON: the list, re-encoded where it has to be.

    Raises:
        OutputLostError: The worker sent something else.
    """
    try:
        data = openai.decode_embeddings(whole.get("data", b""))
        wants_base64 = request.encoding_format == "base64"
        if any(isinstance(item.embedding, str) is not wants_base64 for item in data):
            whole = {**whole, "data": Raw(openai.encode([_encoded(item, wants_base64=wants_base64) for item in data]))}
    except (*MALFORMED, binascii.Error, struct.error):
        raise OutputLostError("The worker sent something that is not a list of embeddings.") from None
    own = {
        "object": "list",
        "model": request.model,
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage_fields(usage)["total_tokens"]},
    }
    return openai.encode({**whole, **own})


def _encoded(item: Embedding, *, wants_base64: bool) -> Embedding:
    embedding: list[float] | str
    match item.embedding:
        case list() as numbers if wants_base64:
            embedding = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        case str() as text if not wants_base64:
            packed = base64.b64decode(text, validate=True)
            embedding = list(struct.unpack(f"<{len(packed) // 4}f", packed))
        case as_it_is:
            embedding = as_it_is
    return Embedding(embedding=embedding, index=item.index)
