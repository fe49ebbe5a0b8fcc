"""Define what a client format consists of: how clients send requests to one path, and how they read the answers."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.apis import Api
from gateway.domain import Usage
from gateway.translate.chunk_template import ChunkTemplate
from gateway.translate.client_formats.schema import JsonObject
from gateway.translate.error_body import ErrorAnswer
from gateway.translate.request import ClientRequest
from gateway.wire.openai import Fields


class StreamWriter(Protocol):
    """Encode the stream of one answer, from OpenAI chunks in normalized form or as a worker sent them."""

    @property
    def text_bytes(self) -> int:
        """Return the bytes of text written so far."""
        ...

    @property
    def is_whole(self) -> bool:
        """Return True if no content of the answer is missing."""
        ...

    def settled_usage(self) -> Usage:
        """Return the worker's token counts or an estimate."""
        ...

    def write(self, chunk: Fields) -> bytes:
        """Return the events for one chunk of the worker, or no bytes.

        Raises:
            OutputLostError: The chunk is malformed, or belongs to a second run of the job.
            JobFailedError: The worker gave up on the answer.
        """
        ...

    def write_templated(self, template: ChunkTemplate, text: bytes) -> bytes:
        """Return the events for a chunk that is the template with this text: the same bytes as `write` returns."""
        ...

    def idle(self) -> bytes:
        """Return an event without content, for clients that limit the time between events; no bytes if none exists."""
        ...

    def end(self) -> bytes:
        """Return the events that complete the answer, with the mark of its end.

        Raises:
            OutputLostError: The answer is not complete.
        """
        ...


class OpenStream(Protocol):
    """Represent the function that creates the writer of one stream."""

    def __call__(self, request: ClientRequest, *, answer_id: str, created_s: int) -> StreamWriter:
        """Create the writer; `created_s` is a Unix time in seconds."""
        ...


class StreamFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Hold how the streams of a client format are framed."""

    media_type: str
    """Content-Type of the stream, without parameters."""
    open: OpenStream
    comment: bytes | None
    """Data that clients ignore, sent in a silence; None if the format has none, and an idle event is sent instead."""
    error: Callable[[ErrorAnswer], bytes]
    """Encode an error as the last event of a stream that has begun."""

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers of the response; `X-Accel-Buffering` keeps nginx from collecting the stream."""
        content_type = f"{self.media_type}; charset=utf-8".encode()
        return (b"content-type", content_type), (b"x-accel-buffering", b"no")


class Finish(Protocol):
    """Represent the function that encodes complete answers."""

    def __call__(self, whole: Fields, request: ClientRequest, *, answer_id: str, created_s: int, usage: Usage) -> bytes:
        """Encode a complete answer as the body for the client.

        Raises:
            OutputLostError: It is not a complete answer to the request.
            JobFailedError: The worker gave up on the answer.
        """
        ...


class BodySchemas(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the JSON Schemas of bodies for the OpenAPI document, as far as the gateway reads and writes them."""

    request_name: str
    required: tuple[str, JsonObject]
    """Required field besides the model, and its schema; the worker validates the rest."""
    answer_name: str
    answer: JsonObject


class ClientFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Hold everything that the gateway knows about one client-facing path.

    No field has a default: a format that lacks one fails at import and in type checking.
    """

    name: str
    """Name of its route handler."""
    path: str
    api: Api
    """API by which workers are asked."""
    id_prefix: str
    """First part of the ids of its answers."""
    read: Callable[[bytes | bytearray], ClientRequest]
    """Parse and validate a body. Raises InvalidRequestError."""
    stream: StreamFormat | None
    """None if its answers are never streamed."""
    finish: Finish
    error_body: Callable[[ErrorAnswer], bytes]
    """Encode an error as the body of an answer."""
    schemas: BodySchemas

    def answer_id(self, request_id: str) -> str:
        """Return the id of the answer to a request."""
        return f"{self.id_prefix}-{request_id}"
