"""Convert the deltas of a dialect to what the client receives: a stream of chunks, or one body."""

from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.domain import Usage
from gateway.errors import GatewayError, OutputLostError, UpstreamError
from gateway.jobs.answer_memory import UNCOUNTED, AnswerMemory
from gateway.translate.client_formats.contract import Finish, StreamWriter
from gateway.translate.completion import CompletionFold, split_completion, text_bytes
from gateway.translate.dialects.contract import Chunk, Damage, Delta, Whole
from gateway.translate.request import ClientRequest
from gateway.translate.restart_detector import RestartDetector
from gateway.translate.usage import read_usage, settle_usage
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields


class _Understanding:
    """Convert errors in the parsing of worker output to a failure of the worker.

    Raises:
        OutputLostError: Python or msgspec raised an error over values whose types differ from OpenAI's.
    """

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _trace: object) -> None:
        if kind is not None and issubclass(kind, _MISUNDERSTOOD):
            raise OutputLostError(_MISUNDERSTANDING) from None


_MISUNDERSTANDING = "The worker's answer is not in OpenAI's format."
_MISUNDERSTOOD = (*MALFORMED, ValueError, TypeError, AttributeError, KeyError, OverflowError)
understanding = _Understanding()


TEXTLESS_CHUNKS_MAX = 8
"""Maximum number of chunks without text, after which a stream loses its priority for first text."""
COUNTED_CHUNKS = 64
"""Number of chunks after which the memory of a writer that keeps its text is counted again."""


class Answer(Protocol):
    """Represent one answer in progress."""

    memory: AnswerMemory
    """Memory of what was read for the answer and not yet passed on; not counted until this place is set."""

    chunks: int
    """Number of parts sent, or folded, so far."""

    @property
    def is_whole(self) -> bool:
        """Return True if no content is missing."""
        ...

    @property
    def has_text(self) -> bool:
        """Return True if text was received; a role alone is not text."""
        ...

    def usage(self) -> Usage | None:
        """Return the tokens so far; None if there was no output."""
        ...

    def take(self, deltas: list[Delta]) -> bytes:
        """Add deltas of the worker's output; return what can be sent to the client now."""
        ...

    def finish(self) -> bytes:
        """Complete the answer: no deltas follow. Return the end of a stream, or the whole body.

        Raises:
            UpstreamError: The output is not an answer.
        """
        ...


class DamageRecord:
    """Track parts that could not be parsed, and decide whether they belong to the answer.

    A part after the last finish reason is not part of the answer, unless text follows it.
    """

    def __init__(self) -> None:
        self.first: UpstreamError | None = None
        self._is_loss = False

    def note(self, error: UpstreamError, *, is_whole: bool) -> None:
        """Record a part that could not be parsed, and whether the answer was complete before it."""
        self.first = self.first or error
        self._is_loss |= not is_whole

    def check_text(self, text_bytes: int) -> None:
        """Raise the first error if text follows it: text between the two may be missing."""
        if self.first is not None and text_bytes > 0:
            raise self.first

    def check_end(self) -> None:
        """Raise the first error if a part was lost before the answer was complete."""
        if self.first is not None and self._is_loss:
            raise self.first


class StreamedAnswer:
    """Send an answer as chunks, each as soon as it is parsed; those of one part of a page are sent together."""

    def __init__(
        self,
        writer: StreamWriter,
        *,
        note_first: Callable[[], None],
        note_chunks: Callable[[int], None],
    ) -> None:
        self.memory = UNCOUNTED
        self.chunks = 0
        self._writer = writer
        self._keeps_text = writer.is_cumulative
        self._counted_at = 0
        self._note_first = note_first
        self._note_chunks = note_chunks
        self._damage = DamageRecord()

    @property
    def is_whole(self) -> bool:
        """Return True if every choice has its finish reason."""
        return self._writer.is_whole

    @property
    def has_text(self) -> bool:
        """Return True if text was written, or if more than TEXTLESS_CHUNKS_MAX chunks were."""
        return self._writer.text_bytes > 0 or self.chunks > TEXTLESS_CHUNKS_MAX

    def usage(self) -> Usage | None:
        """Return the worker's last count, or an estimate from what was sent."""
        return self._writer.settled_usage() if self.chunks else None

    def take(self, deltas: list[Delta]) -> bytes:
        """Return the chunks of these deltas in one piece."""
        if self._keeps_text and self.chunks >= self._counted_at:
            self._counted_at = self.chunks + COUNTED_CHUNKS
            self.memory.keeps_text(self._writer.text_bytes)
        frames: list[bytes] = []
        try:
            for delta in deltas:
                for frame in self._frames(delta):
                    if frame:
                        frames += (frame,)
        except GatewayError:
            self._writer.unsent(b"".join(frames))
            raise
        except _MISUNDERSTOOD:
            # Not by `understanding`, which costs two calls for each chunk.
            self._writer.unsent(b"".join(frames))
            raise OutputLostError(_MISUNDERSTANDING) from None
        if not frames:
            return b""
        if not self.chunks:
            self._note_first()
        self.chunks += len(frames)
        self._note_chunks(len(frames))
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _frames(self, delta: Delta) -> Iterable[bytes]:
        if isinstance(delta, Chunk) and delta.template is not None and self._damage.first is None:
            # Most chunks.
            return (self._writer.write_templated(delta.template, delta.text),)
        if isinstance(delta, Damage):
            self._damage.note(delta.error, is_whole=self.is_whole)
            return ()
        if self._damage.first is None:
            return self._write(delta)
        text_bytes = self._writer.text_bytes
        frames = self._write(delta)
        self._damage.check_text(self._writer.text_bytes - text_bytes)
        return frames

    def _write(self, delta: Chunk | Whole) -> Iterable[bytes]:
        if isinstance(delta, Whole):
            return [self._writer.write(chunk) for chunk in split_completion(delta.fields)]
        if delta.template is None:
            return (self._writer.write(delta.fields),)
        return (self._writer.write_templated(delta.template, delta.text),)

    def finish(self) -> bytes:
        """Return the end of the stream."""
        self._damage.check_end()
        if not self.chunks:
            raise OutputLostError("The worker sent no answer.")
        with understanding:
            return self._writer.end()


class WholeAnswer:
    """Send an answer as one body, when it is complete."""

    def __init__(
        self,
        request: ClientRequest,
        *,
        finish: Finish,
        answer_id: str,
        created_s: int,
        note_first: Callable[[], None],
    ) -> None:
        self.memory = UNCOUNTED
        self.chunks = 0
        self._request = request
        self._finish = finish
        self._note_first = note_first
        self._answer_id = answer_id
        self._created_s = created_s
        self._fold = self._new_fold()
        self._restarts = RestartDetector()
        self._damage = DamageRecord()
        self._whole: Fields | None = None

    def _new_fold(self) -> CompletionFold:
        return CompletionFold(self._request, answer_id=self._answer_id)

    @property
    def is_whole(self) -> bool:
        """Return True if the body was received in one piece, or every choice has its finish reason."""
        return self._whole is not None or self._fold.is_whole

    @property
    def has_text(self) -> bool:
        """Return True if anything was received: nothing is sent before the end in any case."""
        return self.chunks > 0

    def usage(self) -> Usage | None:
        """Return the worker's count or an estimate by size, or None if nothing was parsed."""
        if self._whole is not None:
            return self._usage(self._whole)
        if not self._fold.has_started:
            return None
        return self._settled(read_usage(self._fold.usage), self._fold.text_bytes, self._fold.parts)

    def take(self, deltas: list[Delta]) -> bytes:
        """Keep the body, or fold its parts; nothing is sent before the end."""
        for delta in deltas:
            if isinstance(delta, Damage):
                self._damage.note(delta.error, is_whole=self.is_whole)
                continue
            self.chunks += 1
            if isinstance(delta, Chunk):
                self._take_chunk(delta.fields)
            elif self._fold.has_started:
                for chunk in split_completion(delta.fields):
                    self._take_chunk(chunk)
            else:
                self._whole = delta.fields
        return b""

    def _take_chunk(self, chunk: Fields) -> None:
        with understanding:
            if self._restarts.is_restart(chunk):
                # The client has received nothing of the first run: the second one replaces it.
                self._fold, self._damage = self._new_fold(), DamageRecord()
            text_bytes = self._fold.text_bytes
            self._fold.add(chunk)
            self._damage.check_text(self._fold.text_bytes - text_bytes)

    def finish(self) -> bytes:
        """Return the body."""
        self._damage.check_end()
        with understanding:
            if self._whole is None and self._fold.has_started:
                # Kept, so that the settlement uses what the client received.
                self._whole = self._fold.completion()
            body = None if self._whole is None else self._body(self._whole)
        if body is None:
            raise OutputLostError("The worker sent no answer.")
        self._note_first()
        return body

    def _body(self, whole: Fields) -> bytes:
        answer_id, created_s, usage = self._answer_id, self._created_s, self._usage(whole)
        return self._finish(whole, self._request, answer_id=answer_id, created_s=created_s, usage=usage)

    def _usage(self, whole: Fields) -> Usage:
        counted = read_usage(whole.get("usage"))
        if counted is not None and counted.completion_tokens:
            # There is nothing to estimate, so the text need not be measured.
            return counted
        completion_bytes = text_bytes(whole) if self._request.api.has_choices else 0
        return self._settled(counted, completion_bytes, self._fold.parts)

    def _settled(self, counted: Usage | None, completion_bytes: int, parts: int) -> Usage:
        prompt_tokens = self._request.prompt_tokens
        return settle_usage(counted, prompt_tokens=prompt_tokens, completion_bytes=completion_bytes, parts=parts)
