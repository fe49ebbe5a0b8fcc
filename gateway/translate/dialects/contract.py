"""Define the interface of a dialect."""

from typing import Protocol

import msgspec
from msgspec import Raw

from gateway.errors import UpstreamError
from gateway.translate.chunk_template import ChunkTemplate
from gateway.wire.openai import Fields, Parts


class Chunk:
    """Represent a part of an answer in the form of an OpenAI chunk; id, model and roles may be arbitrary or missing."""

    __slots__ = ("_fields", "template", "text")

    def __init__(
        self, fields: Fields | None = None, *, template: ChunkTemplate | None = None, text: bytes = b""
    ) -> None:
        """Take the fields, or a template (`template`) and the text that fills it."""
        self._fields = fields
        self.template = template
        self.text = text

    @property
    def fields(self) -> Fields:
        """Return all fields; those of a template are built on first access."""
        if self._fields is None:
            self._fields = {} if self.template is None else self.template.filled(self.text)
        return self._fields


class Whole(msgspec.Struct, frozen=True):
    """Represent an answer in one piece: a completion, or embeddings."""

    fields: Fields


class Damage(msgspec.Struct, frozen=True):
    """Represent an unreadable part of the stream, which is harmless if the answer is already complete.

    The worker's own description of the failure may follow, so reading continues until more content arrives.
    """

    error: UpstreamError


Delta = Chunk | Whole | Damage


class Dialect(Protocol):
    """Translate one request to one kind of worker, and its output back.

    Laws, checked by one test for all dialects:

    - If a worker slices its text arbitrarily, every slicing gives the same deltas.
    - An error that arrives as ordinary output is raised, never passed on, whatever the job's state.
    - A truncated answer raises at `end` if the output shows the truncation; otherwise the job's state has to show it.
    """

    @property
    def is_over(self) -> bool:
        """Return True if the answer itself has marked its end."""
        ...

    @property
    def marks_end(self) -> bool:
        """Return True if complete answers are marked as such, so that an answer without the mark was cut short."""
        ...

    def job_input(self) -> Parts:
        """Return the `input` of the job, as JSON in parts."""
        ...

    def read(self, output: Raw) -> list[Delta]:
        """Parse one value that the worker yielded, as JSON.

        Raises:
            UpstreamError: The value is an error, or is not in this kind of worker's format.
        """
        ...

    def end(self) -> list[Delta]:
        """Return the deltas that were held back, after the last output.

        Raises:
            OutputLostError: The answer was cut short.
        """
        ...
