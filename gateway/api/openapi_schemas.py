"""Build the JSON Schemas of request and response bodies, as far as the gateway itself reads and writes them."""

import msgspec

from gateway.api.probes import Readiness
from gateway.translate.client_formats.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from gateway.translate.client_formats.schema import SCHEMAS, JsonObject, counts_schema, object_schema
from gateway.translate.request import MODEL_NAME_LENGTH_MAX, N_MAX
from gateway.wire.openai import Embedding, ErrorBody, ModelCard, ModelList, RequestView

_BOUNDS: dict[str, JsonObject] = {
    "model": {"minLength": 1, "maxLength": MODEL_NAME_LENGTH_MAX},
    "n": {"minimum": 1, "maximum": N_MAX},
    "encoding_format": {"enum": ["float", "base64", None]},
}
"""Constraints that the gateway checks in addition to the types."""

_TEXT: JsonObject = {"type": "string"}
_OF_MESSAGES: JsonObject = {
    ANTHROPIC_MESSAGES.schemas.request_name: {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {**_TEXT, **_BOUNDS["model"]},
            "messages": {
                "type": "array",
                "minItems": 1,
                "items": object_schema(role=_TEXT, content={"type": ["string", "array"]}),
            },
            "max_tokens": {
                "type": ["integer", "null"],
                "description": "Required for a message; a count does not need it.",
            },
            "stream": {"type": ["boolean", "null"]},
        },
        "additionalProperties": True,
    },
    "MessagesError": object_schema(type={"const": "error"}, error=object_schema(type=_TEXT, message=_TEXT)),
    "TokenCount": counts_schema("input_tokens"),
}
"""Bodies of Anthropic's clients, which share no fields but these with OpenAI's."""


def ref(name: str) -> JsonObject:
    """Return a JSON reference to a schema."""
    return {"$ref": SCHEMAS + name}


def schemas() -> JsonObject:
    """Return all schemas by name."""
    answers = {each.schemas.answer_name: each.schemas.answer for each in CLIENT_FORMATS}
    return {**_requests(), **_written(), **answers, **_OF_MESSAGES}


def _requests() -> JsonObject:
    """Return the request schemas. The required field of a format must not be null; optional fields may be."""
    _, asked = msgspec.json.schema_components([RequestView], ref_template=SCHEMAS + "{name}")
    view = asked["RequestView"]
    view["additionalProperties"] = True
    inputs = {each.schemas.request_name: each.schemas.required for each in CLIENT_FORMATS}
    for name, _ in inputs.values():
        # A field of another format passes through, as every field that is not described.
        view["properties"].pop(name, None)
    for name, bounds in _BOUNDS.items():
        view["properties"][name] |= bounds
    for request_name, (name, schema) in inputs.items():
        asked[request_name] = {"allOf": [ref("RequestView"), {"required": [name], "properties": {name: schema}}]}
    return asked


def _written() -> JsonObject:
    """Return the schemas of bodies that the gateway writes itself."""
    kinds = [ErrorBody, ModelCard, ModelList, Readiness, Embedding]
    _, written = msgspec.json.schema_components(kinds, ref_template=SCHEMAS + "{name}")
    for schema in written.values():
        # The encoder also writes fields that have their default value.
        schema["required"] = list(schema["properties"])
    return written
