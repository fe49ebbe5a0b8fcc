"""Read single JSON values whose type a worker may have got wrong."""

import msgspec
from msgspec import Raw

from gateway.wire.malformed import MALFORMED

_INTEGER_DIGITS_MAX = 18


def is_null(value: Raw | None) -> bool:
    """Return True if a field is missing or null."""
    return value is None or bytes(value) in {b"", b"null"}


_NOTHING = frozenset({b"", b"null", b'""', b"[]", b"{}", b"false"})


def is_empty(value: Raw | None) -> bool:
    """Return True if a field is missing or empty: null, false, an empty string, array or object.

    Workers in PHP and Lua write an empty array for an object and an empty object for an array.
    """
    return value is None or bytes(value) in _NOTHING


def is_object(value: Raw | None) -> bool:
    """Return True if a field is a JSON object."""
    return value is not None and bytes(value)[:1] == b"{"


def text_of(value: Raw | None) -> str:
    """Return a JSON string as text, a number as its digits, and anything else as the empty string.

    Raises:
        msgspec.DecodeError: The string is not valid Unicode.
    """
    first = b"" if value is None else bytes(value)[:1]
    if value is None or first in {b"n", b"{", b"[", b"t", b"f", b""}:
        return ""
    return msgspec.json.decode(value, type=str) if first == b'"' else bytes(value).decode()


def integer_of(value: Raw | None) -> int | None:
    """Return an integer, also from a string or with a fraction of zero, or None for anything else."""
    if value is None or len(bytes(value)) > _INTEGER_DIGITS_MAX or bytes(value)[:1] in {b"t", b"f", b"n"}:
        return None
    try:
        return msgspec.json.decode(value, type=int, strict=False)
    except MALFORMED:
        return None
