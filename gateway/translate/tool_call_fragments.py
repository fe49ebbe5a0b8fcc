"""Parse the entries of `tool_calls`, in any form that workers write."""

import msgspec
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.wire import openai
from gateway.wire.lenient import integer_of, is_empty, is_null, is_object, text_of
from gateway.wire.openai import Fields

PAYLOADS = {"function": "arguments", "custom": "input"}
"""Maps the key of the object that holds the name to its field that grows."""
_ARGUMENTS = ("arguments", "parameters", "input")
"""OpenAI's name of a function's arguments, and those in other servers' own formats."""
_KNOWN = frozenset({"index", "id", "type", "function", "custom", "name", *_ARGUMENTS})


class Fragment(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one entry of a delta's `tool_calls`; a missing or null text is the empty string."""

    index: int | None
    id: str
    name: str
    arguments: str
    kind: str
    extra: Fields

    @property
    def is_empty(self) -> bool:
        """Return True if it has no content apart from an index and a type."""
        return not (self.id or self.name or self.arguments or self.extra)


def read_fragments(raw_calls: Raw) -> list[Fragment]:
    """Parse a list of entries; a single object counts as a list of one, and null entries are skipped.

    Raises:
        OutputLostError: An entry is not an object.
    """
    if is_empty(raw_calls):
        return []
    try:
        entries = _entries_of(raw_calls) if is_object(raw_calls) else _decode_entries(raw_calls)
        return [_fragment(openai.decode_fields(entry)) for entry in entries if bytes(entry) not in _NO_ENTRY]
    except msgspec.DecodeError:
        raise OutputLostError("The worker sent a tool call that is not an object.") from None


_NO_ENTRY = frozenset({b"null", b'""', b"false"})
_decode_entries = msgspec.json.Decoder(list[Raw]).decode


def _entries_of(raw: Raw) -> list[Raw]:
    """Return the entries of an object in place of a list: one entry, or entries by number, as PHP writes a list."""
    fields = openai.decode_fields(raw)
    is_numbered = all(name.isdecimal() and is_object(value) for name, value in fields.items())
    return list(fields.values()) if is_numbered else [raw]


def _fragment(entry: Fields) -> Fragment:
    kind = text_of(entry.get("type")) or ("custom" if "custom" in entry and "function" not in entry else "function")
    if kind not in PAYLOADS:
        kind = "function"
    # Some workers write name and arguments beside the id instead of in their own object.
    content = {name: entry[name] for name in ("name", *_ARGUMENTS) if name in entry} | _payload(entry.get(kind))
    names = (PAYLOADS[kind], *_ARGUMENTS)
    arguments = next((content[name] for name in names if not is_null(content.get(name))), None)
    has_text = arguments is None or bytes(arguments)[:1] in {b'"', b"n"}
    return Fragment(
        index=integer_of(entry.get("index")),
        id=text_of(entry.get("id")),
        name=text_of(content.get("name")),
        arguments=text_of(arguments) if has_text or arguments is None else bytes(arguments).decode(),
        kind=kind,
        extra={name: value for name, value in entry.items() if name not in _KNOWN and bytes(value) != b"null"},
    )


def _payload(value: Raw | None) -> Fields:
    """Parse the object that holds name and arguments; some workers write it as JSON in a string."""
    if value is not None and bytes(value)[:2] == b'"{':
        return openai.decode_fields(openai.decode_string(value).encode())
    return openai.decode_fields(value or b"{}") if is_object(value) else {}
