"""Build the JSON Schemas of request and response bodies, as far as the gateway itself reads and writes them."""

from typing import Any

import msgspec

from gateway.api.operations import Readiness
from gateway.domain import Api
from gateway.translate.request import MODEL_NAME_LENGTH_MAX, N_MAX
from gateway.wire.openai import Embedding, ErrorBody, ModelCard, ModelList, RequestView

JsonObject = dict[str, Any]
_PLACE = "#/components/schemas/"

REQUESTS = {
    Api.CHAT_COMPLETIONS: "ChatCompletionRequest",
    Api.COMPLETIONS: "CompletionRequest",
    Api.EMBEDDINGS: "EmbeddingRequest",
}
ANSWERS = {Api.CHAT_COMPLETIONS: "ChatCompletion", Api.COMPLETIONS: "Completion", Api.EMBEDDINGS: "EmbeddingList"}
_INPUTS: dict[Api, tuple[str, JsonObject]] = {
    Api.CHAT_COMPLETIONS: ("messages", {"type": "array", "minItems": 1}),
    Api.COMPLETIONS: ("prompt", {"type": ["string", "array"]}),
    Api.EMBEDDINGS: ("input", {"type": ["string", "array"], "minItems": 1}),
}
"""Required field of each API besides the model. The worker validates the items of the arrays."""
_BOUNDS: dict[str, JsonObject] = {
    "model": {"minLength": 1, "maxLength": MODEL_NAME_LENGTH_MAX},
    "n": {"minimum": 1, "maximum": N_MAX},
    "encoding_format": {"enum": ["float", "base64", None]},
}
"""Constraints that the gateway checks in addition to the types."""
_COUNT: JsonObject = {"type": "integer", "minimum": 0}


def ref(name: str) -> JsonObject:
    """Return a JSON reference to a schema."""
    return {"$ref": _PLACE + name}


def schemas() -> JsonObject:
    """Return all schemas by name."""
    return {**_requests(), **_written(), **_answers()}


def _requests() -> JsonObject:
    """Return the request schemas. The required field of an API must not be null; optional fields may be."""
    _, asked = msgspec.json.schema_components([RequestView], ref_template=_PLACE + "{name}")
    view = asked["RequestView"]
    view["additionalProperties"] = True
    for name, _ in _INPUTS.values():
        # A field of another API passes through, as every field that is not described.
        del view["properties"][name]
    for name, bounds in _BOUNDS.items():
        view["properties"][name] |= bounds
    for api, (name, schema) in _INPUTS.items():
        asked[REQUESTS[api]] = {"allOf": [ref("RequestView"), {"required": [name], "properties": {name: schema}}]}
    return asked


def _written() -> JsonObject:
    """Return the schemas of bodies that the gateway writes itself."""
    kinds = [ErrorBody, ModelCard, ModelList, Readiness, Embedding]
    _, written = msgspec.json.schema_components(kinds, ref_template=_PLACE + "{name}")
    for schema in written.values():
        # The encoder also writes fields that have their default value.
        schema["required"] = list(schema["properties"])
    return written


def _answers() -> JsonObject:
    """Return the schemas of workers' answers, with the fields that the gateway ensures; workers add others."""
    text: JsonObject = {"type": ["string", "null"]}
    message = _object(role={"const": "assistant"}, content=text)
    usage = _object(**dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), _COUNT))
    embedded = _object(**dict.fromkeys(("prompt_tokens", "total_tokens"), _COUNT))
    return {
        "ChatCompletion": _completion("chat.completion", usage, message=message),
        "Completion": _completion("text_completion", usage, text={"type": "string"}),
        "EmbeddingList": _object(
            object={"const": "list"},
            model={"type": "string"},
            data={"type": "array", "items": ref("Embedding")},
            usage=embedded,
        ),
    }


def _completion(kind: str, usage: JsonObject, **said: JsonObject) -> JsonObject:
    choice = _object(index={"type": "integer"}, finish_reason={"type": "string"}, **said)
    return _object(
        id={"type": "string"},
        object={"const": kind},
        created={"type": "integer"},
        model={"type": "string"},
        choices={"type": "array", "minItems": 1, "items": choice},
        usage=usage,
    )


def _object(**properties: JsonObject) -> JsonObject:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": True}
