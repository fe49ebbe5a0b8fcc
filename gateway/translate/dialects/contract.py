"""What every dialect promises."""

from typing import Protocol

import msgspec
from msgspec import Raw

from gateway.errors import UpstreamError
from gateway.translate.refrain import Refrain
from gateway.wire.openai import Fields, Parts


class Chunk:
    """A part of an answer, in the shape of an OpenAI chunk; id, model and roles may be anything or missing."""

    __slots__ = ("_fields", "refrain", "text")

    def __init__(self, fields: Fields | None = None, *, refrain: Refrain | None = None, text: bytes = b"") -> None:
        """Its fields, or of what it is another copy, and the text by which it differs."""
        self._fields = fields
        self.refrain = refrain
        self.text = text

    @property
    def fields(self) -> Fields:
        """All of them, put together where they are asked for."""
        if self._fields is None:
            self._fields = {} if self.refrain is None else self.refrain.filled(self.text)
        return self._fields


class Whole(msgspec.Struct, frozen=True):
    """An answer in one piece: a completion, or embeddings."""

    fields: Fields


class Damage(msgspec.Struct, frozen=True):
    """A part of the stream that cannot be read: harmless where the answer is whole already.

    What follows may be the worker's own account of the failure, so reading goes on until there is more content.
    """

    error: UpstreamError


Delta = Chunk | Whole | Damage


class Dialect(Protocol):
    """How one kind of worker speaks. Made for one request.

    Laws, held by one test for all of them:

    - Where a worker slices its text at will, any slicing gives the same deltas.
    - An error that arrives as ordinary output is raised, never passed on, whatever the job's state.
    - What stopped half way raises at `end`, where the output can show it; elsewhere the job's state has to.
    """

    @property
    def is_over(self) -> bool:
        """Whether the answer itself has said that nothing follows."""
        ...

    @property
    def marks_end(self) -> bool:
        """Whether its answers say themselves that they are whole, so that one which does not was cut short."""
        ...

    def job_input(self) -> Parts:
        """The `input` of the job, as JSON in parts."""
        ...

    def read(self, output: Raw) -> list[Delta]:
        """Take one value that the worker yielded, as JSON.

        Raises:
            UpstreamError: It is an error, or nothing that this kind of worker writes.
        """
        ...

    def end(self) -> list[Delta]:
        """What was still held back, now that no output follows.

        Raises:
            OutputLostError: The answer stopped half way.
        """
        ...
