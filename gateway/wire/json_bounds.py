"""How deep and how manifold a client's JSON may be.

What a body costs beyond its bytes is what it is made of: each field becomes an object of some hundred bytes, and each
level a call within a call, here and at the worker, whose own reader fails at about a thousand. Checked before anything
is decoded; of a body with few brackets, little is read.
"""

from itertools import accumulate

DEPTH_MAX = 128
"""Levels of objects and arrays. Schemas of tools have some twenty."""
PARTS_MAX = 200_000
"""Objects, arrays and fields."""

_BRACKETS = (b"{", b"[")
_FIELD_BYTES_MIN = 5
_SHORT_BYTES = 4096
_OUTLINE = b'"[]{}:'
_REST = bytes(set(range(256)) - set(_OUTLINE))
_STEPS = [1 if each in b"[{" else -1 if each in b"]}" else 0 for each in range(256)]


def is_within_bounds(body: bytes | bytearray) -> bool:
    """Whether a body is neither too deep nor too manifold. Bytes that are no JSON may be called either."""
    if _has_few_brackets(body) and _has_few_fields(body):
        return True
    outline = _outline(body)
    if sum(outline.count(each) for each in (*_BRACKETS, b":")) > PARTS_MAX or len(outline) > 3 * PARTS_MAX:
        return False
    return max(accumulate(map(_STEPS.__getitem__, outline)), default=0) <= DEPTH_MAX


def _has_few_brackets(body: bytes | bytearray) -> bool:
    """Whether they could not nest too deeply even if none stood in a text."""
    if len(body) <= _SHORT_BYTES:
        return body.count(b"{") + body.count(b"[") <= DEPTH_MAX
    # Finding is much faster than counting in what is long.
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
    """The brackets and colons of the JSON, without those in its texts."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A pair of quotes with nothing between them does not change which of the others begin a text.
    quoted = body.translate(None, _REST).replace(b'""', b"")
    if quoted.count(b'"') > 2 * PARTS_MAX:
        # Not taken apart: it is longer than any outline may be.
        return quoted
    return b"".join(quoted.split(b'"')[::2])
