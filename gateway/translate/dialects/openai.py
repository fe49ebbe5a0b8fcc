"""Workers that speak OpenAI: worker-vllm from 0.3 on and worker-sglang as jobs, and the /openai route itself.

One yield may be half an event, several events, one object, a list of objects, or an event pretty-printed over many
lines: worker-vllm 2.24 yields whatever its socket gave it. So text is collected first and parsed then.
"""

import re

import msgspec
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.dialects.contract import Chunk, Damage, Delta, Whole
from gateway.translate.refrain import RefrainReader
from gateway.translate.request import ClientRequest, worker_fields
from gateway.translate.worker_errors import error_in, may_be_error, output_error
from gateway.wire import openai
from gateway.wire.lenient import is_null, is_object
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields
from gateway.wire.sse import EventReader, Events, EventTooLargeError, OddEvent

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""The largest answer in one piece that is held in memory."""
ERROR_BYTES_MAX = 64 * 1024
"""How far from its end a damaged text is searched for an error."""

_WORD = re.compile(rb"[\w.: -]{0,64}", re.ASCII)
_MALFORMED = "The worker sent something that is not JSON."
_CUT_SHORT = "The worker's answer was cut short."
_DAMAGED = "A part of the worker's answer is damaged."


class OpenAIReader:
    """Reads the bytes of an OpenAI answer, in any slices: server-sent events, or one JSON object."""

    def __init__(self, *, stream: bool) -> None:
        self.is_over = False
        self._stream = stream
        self._events = EventReader()
        self._refrain = RefrainReader()
        self._object: bytearray | None = None
        self._started = False

    @property
    def is_object(self) -> bool:
        """Whether the text is one JSON object, complete at its end."""
        return self._object is not None

    def feed(self, piece: bytes) -> list[Delta]:
        """Take the next slice; return what became complete.

        Raises:
            UpstreamError: The answer is an error, or too large.
        """
        if not self._started:
            piece = piece.lstrip(b" \t\r\n")
            if not piece:
                return []
            self._started = True
            self._object = bytearray() if piece.startswith(b"{") else None
        if self._object is not None:
            self._object += piece
            if len(self._object) > ANSWER_BYTES_MAX:
                raise OutputLostError("The worker's answer is too large.")
            return []
        try:
            return self._read(self._events.feed(piece))
        except EventTooLargeError:
            raise OutputLostError("An event of the worker's answer is too large.") from None

    def end(self) -> list[Delta]:
        """Return what the end of the bytes completes.

        Raises:
            OutputLostError: It stops in the middle of an object.
        """
        if self._object is not None:
            body, self._object = bytes(self._object), None
            return [read_object(body, stream=self._stream, problem=_CUT_SHORT)]
        return self._read(self._events.end(), problem=_CUT_SHORT)

    def _read(self, events: Events, *, problem: str = _MALFORMED) -> list[Delta]:
        deltas: list[Delta] = []
        for data in events:
            if self.is_over:
                break
            if isinstance(data, OddEvent):
                deltas.append(_read_odd(data))
            elif (text := self._refrain.text_of(data)) is not None:
                deltas.append(Chunk(refrain=self._refrain.refrain, text=text))
            elif data[:1] == b"{":
                deltas.append(self._read_event(data, problem))
            elif data.strip().strip(b'"').upper() == b"[DONE]":
                self.is_over = True
            else:
                deltas += self._read_other(data, problem)
        return deltas

    def _read_event(self, data: bytes, problem: str) -> Delta:
        try:
            # What comes as events is a stream, also where none was asked for.
            delta = read_object(data, stream=True, problem=problem)
        except OutputLostError as error:
            raise_hidden_error(data)
            return Damage(error)
        if self._stream and isinstance(delta, Chunk):
            self._refrain.learn(data, delta.fields)
        return delta

    def _read_other(self, data: bytes, problem: str) -> list[Delta]:
        """Read data that is no object: a list of objects, JSON without content, a word that keeps the stream alive."""
        data = data.strip()
        if data[:1] == b"{":
            return [self._read_event(data, problem)]
        if data[:1] != b"[":
            # `null`, a number, or a word such as `ping`: none of them can be a part of an answer. Anything else may be
            # a part of an event, such as one that begins in the middle of another when a worker died.
            return [] if _WORD.fullmatch(data) else [Damage(OutputLostError(problem))]
        try:
            return [self._read_event(bytes(item), problem) for item in _decode_items(data) if is_object(item)]
        except MALFORMED:
            raise_hidden_error(data)
            return [Damage(OutputLostError(problem))]


def _read_odd(event: OddEvent) -> Damage:
    """Read what is no ordinary event.

    Raises:
        UpstreamError: It is an error.
    """
    if event.is_error:
        raise output_error(_json_or_text(event.data))
    raise_hidden_error(event.data)
    return Damage(OutputLostError(_DAMAGED))


def raise_hidden_error(text: bytes) -> None:
    """Raise the worker's error at the end of text that is not JSON.

    A worker that fails in the middle of an event writes its error behind the part that it has written.
    """
    for mark in (
        b'{"error"',
        b'{"detail"',
        b'{"object":"error"',
        b'{"object": "error"',
        b'{"message"',
        b'{"type":"error"',
    ):
        at = text.rfind(mark)
        if at < 0 or len(text) - at > ERROR_BYTES_MAX:
            continue
        try:
            value = msgspec.json.decode(text[at:].strip())
        except MALFORMED:
            continue
        if (detail := error_in(value)) is not None:
            raise output_error(detail)


def read_object(body: bytes | Raw, *, stream: bool, problem: str = _MALFORMED) -> Chunk | Whole:
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
        raise OutputLostError(problem) from None
    if not may_be_error(fields):
        fields.pop("error", None)
    elif (detail := error_in(_decoded(line))) is not None:
        raise output_error(detail)
    else:
        # Even a null would be taken for a failure by openai-go.
        fields.pop("error", None)
    if bytes(fields.get("object", b"")) == b'"chat.completion.chunk"' or (stream and not _has_message(fields)):
        return Chunk(fields)
    return Whole(fields)


def _has_message(fields: Fields) -> bool:
    """Whether the object is a whole chat completion: text completions look the same in a stream and without one."""
    try:
        choices = openai.decode_objects(fields.get("choices", b"[]"))
    except MALFORMED:
        return False
    return any(not is_null(choice.get("message")) for choice in choices)


def _decoded(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except MALFORMED:
        raise OutputLostError(_MALFORMED) from None


def _json_or_text(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except MALFORMED:
        return value.decode(errors="replace")


class OpenAIDialect:
    """A worker that takes `openai_route` and `openai_input`."""

    def __init__(self, request: ClientRequest, upstream_model: str) -> None:
        self._request = request
        self._upstream_model = upstream_model
        self._reader = OpenAIReader(stream=request.stream)
        self._has_whole = False

    @property
    def is_over(self) -> bool:
        """Whether `[DONE]` was read, or an answer in one piece."""
        return self._reader.is_over or self._has_whole

    @property
    def marks_end(self) -> bool:
        """By `[DONE]` or by finish reasons; one object as text is cut short where it is no JSON."""
        return not self._reader.is_object

    def job_input(self) -> bytes:
        """The pair that Runpod's own /openai route makes of a request."""
        fields = worker_fields(self._request, upstream_model=self._upstream_model)
        return openai.encode({"openai_route": self._request.api.value, "openai_input": fields})

    def read(self, output: Raw) -> list[Delta]:
        """Text is collected; objects are complete as they are."""
        body = bytes(output)
        match body[:1]:
            case b'"':
                return self._reader.feed(_text(output))
            case b"{":
                delta = read_object(body, stream=self._request.stream)
                self._has_whole |= isinstance(delta, Whole)
                return [delta]
            case b"[":
                return self._read_items(body)
            case _:
                # null, a boolean or a number: no part of an answer.
                return []

    def _read_items(self, body: bytes) -> list[Delta]:
        try:
            return [delta for item in _items(body) for delta in self.read(item)]
        except RecursionError:
            raise OutputLostError(_MALFORMED) from None

    def end(self) -> list[Delta]:
        """What the last slice of text completes."""
        return self._reader.end()


def _text(output: Raw) -> bytes:
    try:
        return openai.decode_string(output).encode()
    except MALFORMED:
        raise OutputLostError(_MALFORMED) from None


_decode_items = msgspec.json.Decoder(list[Raw]).decode


def _items(body: bytes) -> list[Raw]:
    try:
        return _decode_items(body)
    except MALFORMED:
        raise OutputLostError(_MALFORMED) from None
