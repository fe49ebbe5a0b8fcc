"""Write chunks in the form that every OpenAI client reads, whatever the worker sent.

All chunks have the same id, time and model; usage is sent only on request, in a last chunk without choices; choices
follow the rules of `translate.choices`. A conforming worker's choices are passed through unchanged.
"""

from msgspec import Raw

from gateway.translate.chunk_template import ChunkTemplate
from gateway.translate.error_body import ErrorAnswer
from gateway.translate.normalized_stream import NormalizedStream
from gateway.translate.request import ClientRequest
from gateway.translate.usage import usage_fields
from gateway.wire import openai
from gateway.wire.lenient import is_object
from gateway.wire.openai import Fields
from gateway.wire.sse import DONE, encode_event

_OWN_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})


class ChunkWriter(NormalizedStream):
    """Write the stream of one answer as server-sent events."""

    is_cumulative = False

    def __init__(self, request: ClientRequest, *, answer_id: str, created_s: int) -> None:
        super().__init__(request, answer_id=answer_id)
        self._answer_id, self._created_s = answer_id, created_s
        self._is_chat = request.api.is_chat
        self._before = self._after = b""
        """Encoded bytes around the text of a chunk that repeats the template `_template`."""
        object_name = "chat.completion.chunk" if self._is_chat else "text_completion"
        head = {"id": answer_id, "object": object_name, "created": created_s, "model": request.model}
        self._head = openai.encode(head)[:-1] + b',"choices":'

    def write(self, chunk: Fields) -> bytes:
        """Return the event for one chunk of the worker, or no bytes if it has no choices to pass on.

        Raises:
            OutputLostError: The chunk is malformed, or belongs to a second run of the job.
            JobFailedError: The worker gave up on the answer.
        """
        choices = self._read(chunk)
        if choices is None:
            return b""
        usage = chunk.get("usage")
        shows_usage = self._request.wants_continuous_usage and is_object(usage)
        return self._event(choices, usage=usage if shows_usage else None, extra=chunk)

    def write_templated(self, template: ChunkTemplate, text: bytes) -> bytes:
        """Return the event for a chunk that is the template with this text: the same bytes as `write` returns.

        Raises:
            GatewayError: Any error of `write`.
        """
        if template is self._template:
            self._choices.text_bytes += len(text)
            self._choices.parts += 1
            return self._before + text + self._after
        chunk, text_bytes = template.filled(text), self.text_bytes
        event = self.write(chunk)
        start = len(encode_event(self._head)) - 2 + template.text_at
        end = start + len(text)
        # Only in this case can the next chunk of the template be written without `write`: nothing but its text differs.
        if text and event[start:end] == text and self._is_plain and self.text_bytes - text_bytes == len(text):
            self._template, self._before, self._after = template, event[:start], event[end:]
        return event

    def end(self) -> bytes:
        """Return the events that complete the answer: finish reasons, usage if requested, and exactly one `[DONE]`.

        Raises:
            OutputLostError: The answer is not complete.
        """
        closing = self._choices.end()
        events = [self._event(openai.join_objects([each.choice]), extra=each.extra) for each in closing]
        if self._request.wants_usage:
            usage = self._usage_fields | usage_fields(self.settled_usage())
            events.append(self._event(Raw(b"[]"), usage=Raw(openai.encode(usage))))
        return b"".join([*events, DONE])

    def idle(self) -> bytes:
        """Return a chunk without content, for clients that limit the time between chunks.

        Return no bytes for text completions.
        """
        return self._event(Raw(b'[{"index":0,"delta":{},"finish_reason":null}]')) if self._is_chat else b""

    def unsent(self, events: bytes) -> None:
        """Do nothing: no chunk depends on those before it."""

    def failure(self, answer: ErrorAnswer) -> bytes:
        """Return the error as the last event."""
        return encode_event(openai.encode(openai.ErrorBody(error=answer.detail)))

    def again(self) -> "ChunkWriter":
        """Return a new writer: an idle chunk begins nothing."""
        return ChunkWriter(self._request, answer_id=self._answer_id, created_s=self._created_s)

    def _event(self, choices: Raw, *, usage: Raw | None = None, extra: Fields | None = None) -> bytes:
        body = self._head + bytes(choices)
        if usage is not None:
            body += b',"usage":' + bytes(usage)
        if extra and (own := {name: value for name, value in extra.items() if name not in _OWN_FIELDS}):
            body += b"," + openai.encode(own)[1:-1]
        return encode_event(body + b"}")
