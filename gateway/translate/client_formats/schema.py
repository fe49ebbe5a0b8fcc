"""Build JSON Schemas of OpenAI's answers, with the fields that the gateway ensures; workers add others."""

from typing import Any

JsonObject = dict[str, Any]
SCHEMAS = "#/components/schemas/"
"""Place of all schemas in the OpenAPI document."""
_COUNT: JsonObject = {"type": "integer", "minimum": 0}


def object_schema(**properties: JsonObject) -> JsonObject:
    """Return the schema of an object with these required properties, and any others."""
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": True}


def counts_schema(*names: str) -> JsonObject:
    """Return the schema of an object of token counts."""
    return object_schema(**dict.fromkeys(names, _COUNT))


def completion_schema(object_name: str, **content: JsonObject) -> JsonObject:
    """Return the schema of a completion whose choices have this content."""
    choice = object_schema(index={"type": "integer"}, finish_reason={"type": "string"}, **content)
    return object_schema(
        id={"type": "string"},
        object={"const": object_name},
        created={"type": "integer"},
        model={"type": "string"},
        choices={"type": "array", "minItems": 1, "items": choice},
        usage=counts_schema("prompt_tokens", "completion_tokens", "total_tokens"),
    )
