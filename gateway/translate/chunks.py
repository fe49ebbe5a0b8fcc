"""Write chunks as every OpenAI client reads them, whatever the worker sent.

One id, time and model on all of them; usage only if asked, in a last chunk without choices; choices by the rules of
`translate.choices`. A worker that obeys is passed through byte by byte.
"""

from msgspec import Raw

from gateway.domain import Api, Usage
from gateway.errors import OutputLostError
from gateway.translate.choices import ChoiceNormalizer
from gateway.translate.refrain import Refrain
from gateway.translate.request import ClientRequest
from gateway.translate.restart_detector import RestartDetector
from gateway.translate.usage import estimate_usage, read_usage, settle_usage, usage_fields
from gateway.wire import openai
from gateway.wire.lenient import is_null, is_object
from gateway.wire.openai import Fields
from gateway.wire.sse import encode_event

RESTARTED = "The worker was lost in the middle of its answer, and the job began anew."
_OWN_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_OBJECTS = {Api.CHAT_COMPLETIONS: "chat.completion.chunk", Api.COMPLETIONS: "text_completion"}


class ChunkWriter:
    """Writes the stream of one answer as server-sent events."""

    def __init__(self, request: ClientRequest, *, answer_id: str, created_s: int) -> None:
        self.usage: Usage | None = None
        """The last count that the worker gave; counts in a stream are cumulative."""
        self._counted_bytes = 0
        """How much text was written when it came."""
        self._counted_parts = 0
        self._usage_fields: Fields = {}
        self._request = request
        self._is_chat = request.api is Api.CHAT_COMPLETIONS
        self._choices = ChoiceNormalizer(request, answer_id=answer_id)
        self._restarts = RestartDetector()
        self._refrain: Refrain | None = None
        self._before = self._after = b""
        """What is written around the text of a chunk that is the refrain again."""
        self._is_plain = False
        """Whether the last chunk was written as it came."""
        head = {"id": answer_id, "object": _OBJECTS[request.api], "created": created_s, "model": request.model}
        self._head = openai.encode(head)[:-1] + b',"choices":'

    @property
    def text_bytes(self) -> int:
        """How much text was written."""
        return self._choices.text_bytes

    @property
    def is_whole(self) -> bool:
        """Whether every choice that was asked for has its finish reason."""
        return self._choices.is_whole

    def settled_usage(self) -> Usage:
        """Return the worker's count, or an estimate; what was written after the count is added to it."""
        prompt_tokens, parts = self._request.prompt_tokens, self._choices.parts
        counted = settle_usage(self.usage, prompt_tokens=prompt_tokens, completion_bytes=self.text_bytes, parts=parts)
        bytes_since = self.text_bytes - self._counted_bytes
        if counted is not self.usage or self.is_whole or not bytes_since:
            return counted
        parts_since = parts - self._counted_parts
        more = estimate_usage(prompt_tokens=0, completion_bytes=bytes_since, parts=parts_since).completion_tokens
        return Usage(
            prompt_tokens=counted.prompt_tokens,
            completion_tokens=counted.completion_tokens + more,
            is_estimate=True,
        )

    def write(self, chunk: Fields) -> bytes:
        """Return the events for one chunk of the worker's: none, or one.

        Raises:
            OutputLostError: The chunk is malformed, or belongs to a second run of the job.
            JobFailedError: The worker gave up on the answer.
        """
        self._refrain, self._is_plain = None, False
        if self._restarts.is_restart(chunk):
            raise OutputLostError(RESTARTED)
        choices = self._choices.add(chunk)
        usage = chunk.get("usage")
        if is_object(usage) and usage is not None and (counted := read_usage(usage)) is not None:
            self.usage, self._usage_fields = counted, openai.decode_fields(usage)
            self._counted_bytes, self._counted_parts = self.text_bytes, self._choices.parts
        if choices is None:
            return b""
        self._is_plain = choices is chunk.get("choices") and is_null(usage)
        shows_usage = self._request.wants_continuous_usage and is_object(usage)
        return self._event(choices, usage=usage if shows_usage else None, extra=chunk)

    def write_again(self, refrain: Refrain, text: bytes) -> bytes:
        """Return the events for a chunk that is the refrain with this text: what `write` gives for it.

        Raises:
            GatewayError: What `write` raises.
        """
        if refrain is self._refrain:
            self._choices.text_bytes += len(text)
            self._choices.parts += 1
            return self._before + text + self._after
        chunk, text_bytes = refrain.filled(text), self.text_bytes
        event = self.write(chunk)
        start = len(encode_event(self._head)) - 2 + refrain.text_at
        end = start + len(text)
        # Then nothing else about the next one can differ.
        if text and event[start:end] == text and self._is_plain and self.text_bytes - text_bytes == len(text):
            self._refrain, self._before, self._after = refrain, event[:start], event[end:]
        return event

    def end(self) -> bytes:
        """Return what the answer still lacks: finish reasons, and usage where it was asked for.

        Raises:
            OutputLostError: The answer is not complete.
        """
        closing = self._choices.end()
        events = [self._event(openai.join_objects([each.choice]), extra=each.extra) for each in closing]
        if self._request.wants_usage:
            usage = self._usage_fields | usage_fields(self.settled_usage())
            events.append(self._event(Raw(b"[]"), usage=Raw(openai.encode(usage))))
        return b"".join(events)

    def idle(self) -> bytes:
        """Return a chunk without content, for clients that count the time between chunks."""
        return self._event(Raw(b'[{"index":0,"delta":{},"finish_reason":null}]')) if self._is_chat else b""

    def _event(self, choices: Raw, *, usage: Raw | None = None, extra: Fields | None = None) -> bytes:
        body = self._head + bytes(choices)
        if usage is not None:
            body += b',"usage":' + bytes(usage)
        if extra and (own := {name: value for name, value in extra.items() if name not in _OWN_FIELDS}):
            body += b"," + openai.encode(own)[1:-1]
        return encode_event(body + b"}")
