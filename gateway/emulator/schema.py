"""Fill JSON schemas from a message, for the scripted worker's tool arguments and structured answers. Pure."""

import re

import msgspec

DEPTH_MAX = 8
LENGTH_MIN_MAX = 10_000
ITEMS_MIN_MAX = 100
TEXT_CHARACTERS_MAX = 80

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"|“([^”]+)”|`([^`]+)`")
_FORMATS = {
    "date": "2026-01-02",
    "time": "03:04:05",
    "date-time": "2026-01-02T03:04:05Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class Schema(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Parse the parts of a JSON schema that matter for filling it in; all others are ignored."""

    type: str | list[str] | None = None
    properties: "dict[str, Schema | bool]" = {}
    required: list[str] | None = None
    items: "Schema | bool | None" = None
    min_items: int = 0
    enum: list[msgspec.Raw] | None = None
    const: msgspec.Raw = msgspec.Raw()
    any_of: "list[Schema | bool]" = []
    one_of: "list[Schema | bool]" = []
    all_of: "list[Schema | bool]" = []
    format: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    min_length: int = 0
    max_length: int | None = None
    ref: str | None = msgspec.field(default=None, name="$ref")
    defs: "dict[str, Schema | bool]" = msgspec.field(default_factory=dict, name="$defs")
    definitions: "dict[str, Schema | bool]" = {}


class Filler:
    """Fill one schema: numbers with the message's numbers in order, strings with its first quotation or its text."""

    def __init__(self, root: Schema, text: str) -> None:
        self._root = root
        self._numbers = [float(number) for number in _NUMBER.findall(text)] or [1.0]
        self._numbers_used = 0
        self._text = next(iter(quoted_words(text)), text.strip()[:TEXT_CHARACTERS_MAX]) or "text"

    def fill(self) -> object:
        """Return a value that is valid for the schema if the schema uses only common features."""
        return self._fill(self._root, DEPTH_MAX)

    def _fill(self, schema: "Schema | bool", depth: int) -> object:
        if isinstance(schema, bool) or depth == 0:
            return self._text
        if schema.ref is not None:
            name = schema.ref.rsplit("/", 1)[-1]
            return self._fill((self._root.defs | self._root.definitions).get(name, True), depth - 1)
        if bytes(schema.const):
            return msgspec.json.decode(schema.const, type=object)
        if schema.enum:
            return msgspec.json.decode(schema.enum[0], type=object)
        for alternatives in (schema.any_of, schema.one_of, schema.all_of):
            if alternatives:
                return self._fill(alternatives[0], depth - 1)
        return self._fill_type(schema, depth)

    def _fill_type(self, schema: Schema, depth: int) -> object:
        match _type(schema):
            case "object":
                names = schema.properties if schema.required is None else schema.required
                return {name: self._fill(schema.properties.get(name, True), depth - 1) for name in names}
            case "array":
                item = True if schema.items is None else schema.items
                return [self._fill(item, depth - 1) for _ in range(max(1, min(schema.min_items, ITEMS_MIN_MAX)))]
            case "integer":
                return int(self._number(schema))
            case "number":
                return self._number(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema)

    def _number(self, schema: Schema) -> float:
        number = self._numbers[min(self._numbers_used, len(self._numbers) - 1)]
        self._numbers_used += 1
        if schema.maximum is not None or schema.exclusive_maximum is not None:
            highest = schema.maximum if schema.maximum is not None else (schema.exclusive_maximum or 0) - 1
            number = min(number, highest)
        if schema.minimum is not None or schema.exclusive_minimum is not None:
            lowest = schema.minimum if schema.minimum is not None else (schema.exclusive_minimum or 0) + 1
            number = max(number, lowest)
        return number

    def _string(self, schema: Schema) -> str:
        text = _FORMATS.get(schema.format or "", self._text)
        return text.ljust(min(schema.min_length, LENGTH_MIN_MAX), ".")[: schema.max_length]


def quoted_words(text: str) -> list[str]:
    """Return the quoted parts of the text, in order."""
    return [next(part for part in match.groups() if part) for match in _QUOTED.finditer(text)]


def _type(schema: Schema) -> str:
    if isinstance(schema.type, list):
        return next((name for name in schema.type if name != "null"), "null")
    if schema.type is None:
        return "object" if schema.properties else "string"
    return schema.type
