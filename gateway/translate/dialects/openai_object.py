"""Parse one JSON object of an OpenAI-compatible worker: a chunk, a complete answer, or an error."""

import re

import msgspec
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.dialects.contract import Chunk, Whole
from gateway.translate.worker_errors import error_in, may_be_error, output_error
from gateway.wire import openai
from gateway.wire.json_repair import repaired
from gateway.wire.lenient import is_empty, is_object
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, Fields

ERROR_BYTES_MAX = 64 * 1024
"""Number of bytes at the end of a damaged text that are searched for an error."""
_ERROR_MARKS = tuple(
    re.compile(rb"\{\s{0,8}" + mark)
    for mark in (
        rb'"error"\s{0,8}:',
        rb'"detail"\s{0,8}:',
        rb'"(?:object|type)"\s{0,8}:\s{0,8}"error"',
        rb'"(?:errors|err|exception|base_resp)"\s{0,8}:',
        rb'"(?:message|code)"\s{0,8}:',
    )
)
"""Beginnings of an error, the likeliest first: objects nested in an error match other marks."""
NOT_JSON = "The worker's answer is not valid JSON."


def read_object(body: bytes | Raw, *, stream: bool, has_choices: bool = True, problem: str = NOT_JSON) -> Chunk | Whole:
    """Parse an object as a chunk or a complete answer, and raise it if it is an error.

    `has_choices` is False for an API whose answers have no choices (`gateway.apis`): each of them is one object.

    Raises:
        OutputLostError: The text is not a JSON object.
        UpstreamError: The object is an error.
    """
    try:
        # worker-sglang pretty-prints its JSON, but values that are passed on unchanged have to fit on one line.
        line = bytes(body)
        if b"\n" in line or b"\r" in line:
            line = msgspec.json.format(line, indent=-1)
        if not line.isascii():
            # Raw values are not validated anywhere else, and clients accept only UTF-8.
            line.decode()
        fields = openai.decode_fields(line)
    except MALFORMED:
        fields = _repaired_fields(bytes(body), problem)
        line = openai.encode(fields)
    if not may_be_error(fields):
        fields.pop("error", None)
    elif (detail := error_in(_decoded(line))) is not None:
        raise output_error(detail)
    else:
        # openai-go treats even a null as a failure.
        fields.pop("error", None)
    is_chunk = bytes(fields.get("object", b"")) == b'"chat.completion.chunk"'
    return Chunk(fields) if is_chunk or not _is_whole(fields, stream=stream, has_choices=has_choices) else Whole(fields)


def _is_whole(fields: Fields, *, stream: bool, has_choices: bool) -> bool:
    """Return True if an object that is not labelled as a chunk is a complete answer.

    Without choices, that is any object of an API without choices, and one with `data` (embeddings); with choices, one
    with a finished message. Anything else may be one part of several, even if no stream was requested: some workers
    yield chunks regardless, and chunks of text completions look like complete ones.
    """
    raw = fields.get("choices", NULL)
    if is_empty(raw):
        return not stream and (not has_choices or not is_empty(fields.get("data")))
    try:
        choices = openai.decode_objects(raw)
    except MALFORMED:
        return False
    if any(not is_empty(choice.get("delta")) for choice in choices):
        return False
    return any(is_object(choice.get("message")) and not is_empty(choice.get("finish_reason")) for choice in choices)


def _repaired_fields(body: bytes, problem: str) -> Fields:
    """Parse an object that Python or JavaScript serialized with values that JSON does not have.

    Raises:
        OutputLostError: The repaired text is not an object either.
    """
    text = repaired(body)
    if text == body:
        raise OutputLostError(problem)
    try:
        return openai.decode_fields(msgspec.json.format(text, indent=-1))
    except MALFORMED:
        raise OutputLostError(problem) from None


def raise_hidden_error(text: bytes) -> None:
    """Check the end of text that is not JSON for the worker's error.

    A worker that fails in the middle of an event writes its error after the part that it has already written.

    Raises:
        UpstreamError: The text ends with an error.
    """
    tail = text[-ERROR_BYTES_MAX:]
    for mark in _ERROR_MARKS:
        starts = [found.start() for found in mark.finditer(tail)]
        if not starts:
            continue
        try:
            value = msgspec.json.decode(tail[starts[-1] :].strip())
        except MALFORMED:
            continue
        if (detail := error_in(value)) is not None:
            raise output_error(detail)


def _decoded(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except MALFORMED:
        raise OutputLostError(NOT_JSON) from None
