"""Limit the nesting depth and the number of parts of a client's JSON.

The cost of a body beyond its bytes depends on its structure: each field becomes an object of about a hundred bytes, and
each nesting level a recursive call, both in the gateway and in the worker, whose own parser fails at about a thousand
levels. The limits are checked before decoding; a body with few brackets is not scanned further.
"""

from itertools import accumulate

DEPTH_MAX = 128
"""Maximum number of nested objects and arrays. Tool schemas have about twenty levels."""
PARTS_MAX = 200_000
"""Maximum number of objects, arrays and fields together."""

_BRACKETS = (b"{", b"[")
_FIELD_BYTES_MIN = 5
_SHORT_BYTES = 4096
_OUTLINE = b'"[]{}:'
_REST = bytes(set(range(256)) - set(_OUTLINE))
_STEPS = [1 if each in b"[{" else -1 if each in b"]}" else 0 for each in range(256)]


def is_within_bounds(body: bytes | bytearray) -> bool:
    """Return True if a body exceeds neither the depth limit nor the part limit.

    The result is unspecified for bytes that are not JSON.
    """
    if _has_few_brackets(body) and _has_few_fields(body):
        return True
    outline = _outline(body)
    if sum(outline.count(each) for each in (*_BRACKETS, b":")) > PARTS_MAX or len(outline) > 3 * PARTS_MAX:
        return False
    return max(accumulate(map(_STEPS.__getitem__, outline)), default=0) <= DEPTH_MAX


def _has_few_brackets(body: bytes | bytearray) -> bool:
    """Return True if the brackets cannot nest too deeply, even counting those inside strings."""
    if len(body) <= _SHORT_BYTES:
        return body.count(b"{") + body.count(b"[") <= DEPTH_MAX
    # In a long body, `find` up to the limit is much faster than a full count.
    at, left = -1, DEPTH_MAX
    for bracket in _BRACKETS:
        while (at := body.find(bracket, at + 1)) >= 0:
            left -= 1
            if left < 0:
                return False
    return True


def _has_few_fields(body: bytes | bytearray) -> bool:
    return len(body) < _FIELD_BYTES_MIN * PARTS_MAX or body.count(b":") <= PARTS_MAX


def _outline(body: bytes | bytearray) -> bytes | bytearray:
    """Return the brackets and colons of the JSON outside its strings, in order."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Removing an empty pair of quotes does not change which of the other quotes begin a string.
    quoted = body.translate(None, _REST).replace(b'""', b"")
    if quoted.count(b'"') > 2 * PARTS_MAX:
        # Skip the split: the length check of the caller rejects this anyway.
        return quoted
    return b"".join(quoted.split(b'"')[::2])
