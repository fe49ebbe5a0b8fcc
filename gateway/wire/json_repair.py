"""Read JSON that strict parsers refuse but that Python's and JavaScript's own serializers produce.

Python's `json.dumps` writes `NaN` and `Infinity`; JavaScript servers cut a string between the two halves of a surrogate
pair; custom handlers write several objects side by side. A general repair library is not suitable: it completes a
truncated object, but a truncated object means that part of the answer is missing.
"""

import json
import re
from typing import NamedTuple

_NOT_FINITE = re.compile(rb'("(?:[^"\\]|\\.)*+(?:"|\Z))|-?\b(?:NaN|Infinity)\b', re.DOTALL)
_UNICODE_ESCAPE = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_SEPARATOR = re.compile(r"\s*(?:data:\s*)?")
_END = "[DONE]"
_scan = json.JSONDecoder().raw_decode


def repaired(text: bytes) -> bytes:
    """Replace non-finite numbers in JSON with null, and unpaired surrogate escapes with U+FFFD."""
    text = _NOT_FINITE.sub(lambda found: found[1] or b"null", text)
    return _UNICODE_ESCAPE.sub(lambda found: found[1] or rb"\ufffd", text)


class Sequence(NamedTuple):
    """Hold the JSON objects of a text that stand side by side."""

    objects: list[bytes]
    is_over: bool
    """True if `[DONE]` follows the objects."""
    rest: bytes
    """Remaining text that is not an object."""


def read_sequence(text: bytes) -> Sequence:
    """Split a text into its leading JSON objects, which are separated only by whitespace or `data:`."""
    objects: list[bytes] = []
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return Sequence(objects, is_over=False, rest=text)
    at = _skip(decoded, 0)
    while decoded.startswith("{", at):
        try:
            _, end = _scan(decoded, at)
        except (ValueError, RecursionError):
            break
        objects.append(decoded[at:end].encode())
        at = _skip(decoded, end)
    if is_over := decoded.startswith(_END, at):
        at += len(_END)
    return Sequence(objects, is_over=is_over, rest=decoded[at:].strip().encode())


def _skip(text: str, at: int) -> int:
    found = _SEPARATOR.match(text, at)
    return at if found is None else found.end()
