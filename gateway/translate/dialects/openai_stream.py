"""Parse the bytes of an OpenAI answer: server-sent events, JSON lines, or one object.

One piece of text may be part of an event, several events, one object, a list of objects, or an event pretty-printed
over many lines: worker-vllm 2.24 yields the slices that its socket delivers. Text is therefore buffered before it is
parsed.
"""

import re

import msgspec

from gateway.errors import OutputLostError
from gateway.translate.chunk_template import ChunkTemplateReader
from gateway.translate.dialects.contract import Chunk, Damage, Delta
from gateway.translate.dialects.openai_object import NOT_JSON, raise_hidden_error, read_object
from gateway.translate.worker_errors import output_error
from gateway.wire.items import decode_items
from gateway.wire.json_repair import Sequence, read_sequence
from gateway.wire.lenient import is_object
from gateway.wire.malformed import MALFORMED
from gateway.wire.sse import EVENT_BYTES_MAX, EventReader, Events, EventTooLargeError, OddEvent

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""Maximum size in bytes of an answer in one piece that is held in memory."""
SEQUENCE_BYTES_MAX = 64 * 1024
"""Maximum size in bytes of an unterminated event that is searched for complete objects."""

_BEFORE_OBJECT = b"\xef\xbb\xbf \t\r\n"
_SIDE_BY_SIDE = (b"{", b"data:", b"[DONE]")
"""Beginnings of text after a complete object, if a worker writes objects side by side."""
_FRAME = re.compile(rb"\A(?:data:[ \t]*){1,4}")
_WORD = re.compile(rb'"?[\w.:! -]{0,64}"?', re.ASCII)
_PHRASE = re.compile(rb'"?[^"{}\[\]\\\x00-\x1f]{0,256}"?')
"""Plain words: they are not part of a chunk, so they hold none of the answer."""
_ERROR_WORD = re.compile(rb"(?i)error|exception|fail|fatal|abort|killed|timed? ?out|unavailable|out of memory")
_CUT_SHORT = "The worker's answer is incomplete."
_DAMAGED = "Part of the worker's answer is corrupted."


class OpenAIReader:
    """Parse the bytes of an OpenAI answer, in any slices: server-sent events, or one JSON object."""

    def __init__(self, *, stream: bool, has_choices: bool = True) -> None:
        self.is_over = False
        self._stream = stream
        self._has_choices = has_choices
        self._events = EventReader()
        self._template = ChunkTemplateReader()
        self._object: bytearray | None = None
        self._is_sequence = False
        """True if several objects stand side by side."""
        self._started = False

    @property
    def is_object(self) -> bool:
        """Return True if the text is one JSON object, which is complete at the end of the text."""
        return self._object is not None

    def feed(self, piece: bytes) -> list[Delta]:
        """Parse the next slice; return the deltas that it completed.

        Raises:
            UpstreamError: The answer is an error, or too large.
        """
        if not self._started:
            piece = piece.lstrip(_BEFORE_OBJECT)
            if not piece:
                return []
            self._started = True
            self._object = bytearray() if piece.startswith(b"{") else None
        if self._object is not None:
            return self._feed_object(piece, self._object)
        try:
            deltas = self._read_unclosed() if self._events.rest and piece.startswith(b"data:") else []
            return deltas + self._read(self._events.feed(piece))
        except EventTooLargeError:
            raise OutputLostError("An event of the worker's answer is too large.") from None

    def _feed_object(self, piece: bytes, text: bytearray) -> list[Delta]:
        deltas: list[Delta] = []
        if piece.startswith(_SIDE_BY_SIDE) and _may_end_object(text):
            sequence = read_sequence(bytes(text))
            if not sequence.rest:
                self._is_sequence = True
                deltas = self._read_sequence(sequence, NOT_JSON)
                text.clear()
        text += piece
        if len(text) > ANSWER_BYTES_MAX:
            raise OutputLostError("The worker's answer is too large.")
        return deltas

    def _read_unclosed(self) -> list[Delta]:
        """Parse an event that no blank line terminated: handlers that yield single lines write none."""
        text = self._events.rest
        if not _may_end_object(text) or not _is_complete(bytes(text).removeprefix(b"data:")):
            return []
        return self._read(self._events.end())

    def end(self) -> list[Delta]:
        """Return the deltas that the end of the bytes completes.

        Raises:
            OutputLostError: The text ends in the middle of an object.
        """
        if self._object is None:
            return self._read(self._events.end(), problem=_CUT_SHORT)
        body, self._object = bytes(self._object), None
        try:
            if not self._is_sequence:
                return [read_object(body, stream=self._stream, has_choices=self._has_choices, problem=_CUT_SHORT)]
        except OutputLostError:
            if len(body) > EVENT_BYTES_MAX or not read_sequence(body).objects:
                raise
        return self._read_sequence(read_sequence(body), _CUT_SHORT)

    def _read_sequence(self, sequence: Sequence, problem: str) -> list[Delta]:
        """Parse objects that stand side by side, each as an event."""
        deltas: list[Delta] = []
        for data in sequence.objects:
            try:
                deltas.append(read_object(data, stream=True, problem=problem))
            except OutputLostError as error:
                deltas.append(Damage(error))
        self.is_over |= sequence.is_over
        if sequence.rest and not self.is_over:
            raise_hidden_error(sequence.rest)
            deltas.append(Damage(OutputLostError(problem)))
        return deltas

    def _read(self, events: Events, *, problem: str = NOT_JSON) -> list[Delta]:
        deltas: list[Delta] = []
        for data in events:
            if self.is_over:
                break
            if isinstance(data, OddEvent):
                # A list of objects may come without a field name such as `data:`.
                is_list = not data.is_error and data.data.lstrip()[:1] == b"["
                deltas += self._read_other(data.data, problem) if is_list else [_read_odd(data)]
            elif (text := self._template.text_of(data)) is not None:
                deltas.append(Chunk(template=self._template.template, text=text))
            elif data[:1] == b"{":
                deltas += self._read_event(data, problem)
            elif data.strip().strip(b'"').upper() == b"[DONE]":
                self.is_over = True
            else:
                deltas += self._read_other(data, problem)
        return deltas

    def _read_event(self, data: bytes, problem: str) -> list[Delta]:
        try:
            # Events are always parsed as a stream, even if none was requested.
            delta = read_object(data, stream=True, problem=problem)
        except OutputLostError as error:
            sequence = read_sequence(data)
            if sequence.objects:
                return self._read_sequence(sequence, problem)
            raise_hidden_error(data)
            return [Damage(error)]
        if self._stream and isinstance(delta, Chunk):
            self._template.learn(data, delta.fields)
        return [delta]

    def _read_other(self, data: bytes, problem: str) -> list[Delta]:
        """Parse data that is not an object: a list of objects, JSON without content, or a keep-alive word."""
        # Some proxies add a second `data:` prefix to events.
        data = _FRAME.sub(b"", data.strip())
        if data[:1] == b"{":
            return self._read_event(data, problem)
        if data.upper() == b"[DONE]":
            self.is_over = True
            return []
        if data[:1] != b"[":
            if _PHRASE.fullmatch(data) and _ERROR_WORD.search(data):
                return [Damage(output_error(data.decode(errors="replace").strip('"')))]
            # `null`, a number, or a word such as `ping` cannot be part of an answer. Anything else may be part of an
            # event, such as one that begins in the middle of another when a worker died.
            return [] if _WORD.fullmatch(data) else [Damage(OutputLostError(problem))]
        try:
            events = [bytes(item) for item in decode_items(data) if is_object(item)]
            return [delta for event in events for delta in self._read_event(event, problem)]
        except MALFORMED:
            raise_hidden_error(data)
            return [Damage(OutputLostError(problem))]


def _read_odd(event: OddEvent) -> Damage:
    """Convert an odd event to damage.

    Raises:
        UpstreamError: The event is an error.
    """
    if event.is_error:
        raise output_error(_json_or_text(event.data))
    raise_hidden_error(event.data)
    return Damage(OutputLostError(_DAMAGED))


def _may_end_object(text: bytearray) -> bool:
    return len(text) <= SEQUENCE_BYTES_MAX and text.rstrip().endswith(b"}")


def _is_complete(text: bytes) -> bool:
    sequence = read_sequence(text)
    return bool(sequence.objects) and not sequence.rest


def _json_or_text(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except MALFORMED:
        return value.decode(errors="replace")
