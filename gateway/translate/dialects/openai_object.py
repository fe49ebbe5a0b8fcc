"""Read one JSON object of a worker that speaks OpenAI: a chunk, a whole answer, or an error."""

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
"""How far from its end a damaged text is searched for an error."""
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
"""How an error begins, the likeliest first: what stands within it begins like others."""
NOT_JSON = "The worker sent something that is not JSON."


def read_object(body: bytes | Raw, *, stream: bool, problem: str = NOT_JSON) -> Chunk | Whole:
    """Tell a chunk from a whole answer, and either from an error.

    Raises:
        OutputLostError: It is no object.
        UpstreamError: The object is an error.
    """
    try:
        # worker-sglang prints its JSON over many lines; what is passed on as it is must fit on one.
        line = bytes(body)
        if b"\n" in line or b"\r" in line:
            line = msgspec.json.format(line, indent=-1)
        if not line.isascii():
            # What stays raw is looked at by nobody else, and clients take no other bytes.
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
        # Even a null would be taken for a failure by openai-go.
        fields.pop("error", None)
    is_chunk = bytes(fields.get("object", b"")) == b'"chat.completion.chunk"'
    return Chunk(fields) if is_chunk or not _is_whole(fields, stream=stream) else Whole(fields)


def _is_whole(fields: Fields, *, stream: bool) -> bool:
    """Report whether an object that is not called a chunk is a whole answer: embeddings, or an ended message.

    Anything else may be one part of several, also where no stream was asked for: workers yield chunks all the same, and
    chunks of text completions look like whole ones.
    """
    raw = fields.get("choices", NULL)
    if is_empty(raw):
        return not stream and not is_empty(fields.get("data"))
    try:
        choices = openai.decode_objects(raw)
    except MALFORMED:
        return False
    if any(not is_empty(choice.get("delta")) for choice in choices):
        return False
    return any(is_object(choice.get("message")) and not is_empty(choice.get("finish_reason")) for choice in choices)


def _repaired_fields(body: bytes, problem: str) -> Fields:
    """Read an object as Python or JavaScript writes it where JSON has no word for a value.

    Raises:
        OutputLostError: It is no object either.
    """
    text = repaired(body)
    if text == body:
        raise OutputLostError(problem)
    try:
        return openai.decode_fields(msgspec.json.format(text, indent=-1))
    except MALFORMED:
        raise OutputLostError(problem) from None


def raise_hidden_error(text: bytes) -> None:
    """Raise the worker's error at the end of text that is not JSON.

    A worker that fails in the middle of an event writes its error behind the part that it has written.
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
