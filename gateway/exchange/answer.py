"""What the dialect understood becomes what the client reads: a stream of chunks, or one body."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from gateway.domain import Api, Usage
from gateway.errors import OutputLostError
from gateway.exchange.sink import Sink
from gateway.translate.chunks import ChunkWriter
from gateway.translate.completion import CompletionFold, finish_completion, split_completion
from gateway.translate.dialects.contract import Chunk, Delta
from gateway.translate.embeddings import finish_embeddings
from gateway.translate.request import ClientRequest
from gateway.translate.retelling import Retelling
from gateway.translate.usage import estimate_usage, read_usage
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields
from gateway.wire.sse import DONE


@contextmanager
def understanding() -> Iterator[None]:
    """Around the reading of what a worker sent: whatever does not fit is the worker's failure and not ours.

    Raises:
        OutputLostError: In place of what Python and msgspec raise over values of other types than OpenAI's.
    """
    try:
        yield
    except (*MALFORMED, ValueError, TypeError, AttributeError, KeyError, OverflowError):
        raise OutputLostError("The worker sent something that is not an answer in OpenAI's format.") from None


class Answer(Protocol):
    """One answer under way."""

    chunks: int
    """Parts sent, or folded, so far."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing of substance is missing."""
        ...

    def usage(self) -> Usage | None:
        """The tokens so far; None where there was no output."""
        ...

    async def take(self, deltas: list[Delta]) -> None:
        """Pass on what the worker said."""
        ...

    async def finish(self) -> None:
        """Nothing follows: close the answer.

        Raises:
            UpstreamError: What came is no answer.
        """
        ...


class StreamedAnswer:
    """Chunks, each on its way as soon as it is understood; those of one part of a page travel together."""

    def __init__(
        self, writer: ChunkWriter, sink: Sink, *, note_first: Callable[[], None], note_chunks: Callable[[int], None]
    ) -> None:
        self.chunks = 0
        self._writer = writer
        self._sink = sink
        self._note_first = note_first
        self._note_chunks = note_chunks

    @property
    def is_whole(self) -> bool:
        """Whether every choice has its finish reason."""
        return self._writer.is_whole

    def usage(self) -> Usage | None:
        """The worker's last count, or an estimate of what was sent."""
        return self._writer.settled_usage() if self.chunks else None

    async def take(self, deltas: list[Delta]) -> None:
        """Write the chunks of these deltas in one piece."""
        with understanding():
            frames = self._frames(deltas)
        if frames:
            if not self.chunks:
                self._note_first()
            self.chunks += len(frames)
            self._note_chunks(len(frames))
            await self._sink.send(b"".join(frames))

    def _frames(self, deltas: list[Delta]) -> list[bytes]:
        frames: list[bytes] = []
        for delta in deltas:
            parts = [delta.fields] if isinstance(delta, Chunk) else split_completion(delta.fields)
            frames.extend(frame for part in parts if (frame := self._writer.write(part)))
        return frames

    async def finish(self) -> None:
        """Write what is still due, and the end mark: once, whatever the worker wrote of its own."""
        if not self.chunks:
            raise OutputLostError("The worker sent no answer.")
        await self._sink.finish(self._writer.end() + DONE)


class WholeAnswer:
    """One body, sent when it is complete."""

    def __init__(
        self, request: ClientRequest, sink: Sink, *, answer_id: str, created_s: int, note_first: Callable[[], None]
    ) -> None:
        self.chunks = 0
        self._request = request
        self._sink = sink
        self._note_first = note_first
        self._answer_id = answer_id
        self._created_s = created_s
        self._fold = CompletionFold()
        self._retelling = Retelling()
        self._whole: Fields | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the body came in one piece, or every choice has its finish reason."""
        return self._whole is not None or self._fold.is_whole

    def usage(self) -> Usage | None:
        """The worker's count, or an estimate by size; None too for what cannot be understood."""
        try:
            with understanding():
                whole = self._whole or self._fold.completion()
                return None if whole is None else self._usage(whole)
        except OutputLostError:
            return None

    async def take(self, deltas: list[Delta]) -> None:
        """Keep the body, or fold its parts."""
        for delta in deltas:
            self.chunks += 1
            if isinstance(delta, Chunk):
                with understanding():
                    if self._retelling.begins_with(delta.fields):
                        # Nobody has seen the first telling: the second one takes its place.
                        self._fold = CompletionFold()
                    self._fold.add(delta.fields)
            else:
                self._whole = delta.fields

    async def finish(self) -> None:
        """Send the body."""
        with understanding():
            # Kept, so that what is settled is what the client was told.
            self._whole = self._whole or self._fold.completion()
            body = None if self._whole is None else self._body(self._whole)
        if body is None:
            raise OutputLostError("The worker sent no answer.")
        self._note_first()
        await self._sink.finish(body)

    def _body(self, whole: Fields) -> bytes:
        usage = self._usage(whole)
        if self._request.api is Api.EMBEDDINGS:
            return finish_embeddings(whole, self._request, usage=usage)
        return finish_completion(
            whole, self._request, answer_id=self._answer_id, created_s=self._created_s, usage=usage
        )

    def _usage(self, whole: Fields) -> Usage:
        completion_bytes = 0 if self._request.api is Api.EMBEDDINGS else len(bytes(whole.get("choices", b"")))
        estimate = estimate_usage(prompt_bytes=self._request.prompt_bytes, completion_bytes=completion_bytes)
        return read_usage(whole.get("usage")) or estimate
