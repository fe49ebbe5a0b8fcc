"""Workers that speak OpenAI: worker-vllm from 0.3 on and worker-sglang as jobs, and the /openai route itself.

One yield may be half an event, several events, one object, a list of objects, or an event pretty-printed over many
lines: worker-vllm 2.24 yields whatever its socket gave it. So text is collected first and parsed then.
"""

import msgspec
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.dialects.contract import Chunk, Delta, Whole
from gateway.translate.refrain import RefrainReader
from gateway.translate.request import ClientRequest, worker_fields
from gateway.translate.worker_errors import output_error
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields
from gateway.wire.sse import DamagedEventError, EventReader, EventTooLargeError

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""The largest answer in one piece that is held in memory."""

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
            UpstreamError: The answer is an error, malformed, or too large.
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
        except DamagedEventError:
            raise OutputLostError(_DAMAGED) from None

    def end(self) -> list[Delta]:
        """What the end of the bytes completes.

        Raises:
            OutputLostError: It stops in the middle of an event or an object.
        """
        if self._object is not None:
            body, self._object = bytes(self._object), None
            return [read_object(body, stream=self._stream, problem=_CUT_SHORT)]
        try:
            return self._read(self._events.end(), problem=_CUT_SHORT)
        except DamagedEventError:
            raise OutputLostError(_CUT_SHORT) from None

    def _read(self, events: list[bytes], *, problem: str = _MALFORMED) -> list[Delta]:
        deltas: list[Delta] = []
        for data in events:
            if self.is_over:
                break
            if data == b"[DONE]":
                self.is_over = True
            elif (text := self._refrain.text_of(data)) is not None:
                deltas.append(Chunk(refrain=self._refrain.refrain, text=text))
            else:
                delta = read_object(data, stream=self._stream, problem=problem)
                if self._stream and isinstance(delta, Chunk):
                    self._refrain.learn(data, delta.fields)
                deltas.append(delta)
        return deltas


def read_object(body: bytes | Raw, *, stream: bool, problem: str = _MALFORMED) -> Delta:
    """Tell a chunk from a whole answer, and either from an error.

    Raises:
        UpstreamError: The object is an error, or no object.
    """
    try:
        # worker-sglang prints its JSON over many lines; what is passed on as it is must fit on one.
        line = msgspec.json.format(bytes(body), indent=-1) if b"\n" in bytes(body) else bytes(body)
        if not line.isascii():
            # What stays raw is looked at by nobody else, and clients take no other bytes.
            line.decode()
        fields = openai.decode_fields(line)
    except MALFORMED:
        raise OutputLostError(problem) from None
    if "error" in fields:
        # Even a null would be taken for a failure by openai-go.
        detail = _decoded(fields.pop("error"))
        if detail and isinstance(detail, str | dict):
            raise output_error(detail)
    kind = bytes(fields.get("object", b""))
    if kind == b'"error"':
        raise output_error(_decoded(line))
    if kind == b'"chat.completion.chunk"' or (stream and not _has_message(fields)):
        return Chunk(fields)
    return Whole(fields)


def _has_message(fields: Fields) -> bool:
    """Whether the object is a whole chat completion: text completions look the same in a stream and without one."""
    try:
        choices = openai.decode_objects(fields.get("choices", b"[]"))
    except MALFORMED:
        return False
    return any("message" in choice for choice in choices)


def _decoded(error: bytes | Raw) -> object:
    try:
        return msgspec.json.decode(error)
    except MALFORMED:
        raise OutputLostError(_MALFORMED) from None


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
            case b"n":
                return []
            case _:
                raise OutputLostError(_MALFORMED)

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
