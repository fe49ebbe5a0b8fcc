"""Write the stream of one answer as Anthropic's events.

A failure is an event of its own, without the mark of the end: to anthropic-python, a stream that only ends, or an error
in OpenAI's form, looks like a complete answer.
"""

import msgspec
from msgspec import Raw

from gateway.domain import Usage
from gateway.translate.chunk_template import ChunkTemplate
from gateway.translate.error_body import ErrorAnswer
from gateway.translate.messages.ending import usage_fields
from gateway.translate.messages.errors import error_event
from gateway.translate.messages.events import (
    PING,
    TEXT,
    delta_edges,
    encode_block_event,
    message_end,
    message_start,
)
from gateway.translate.messages.message import message
from gateway.translate.messages.reader import MessageReader
from gateway.translate.normalized_stream import NormalizedStream
from gateway.translate.request import ClientRequest
from gateway.wire import openai
from gateway.wire.openai import Fields


class _Choice(msgspec.Struct):
    index: int
    delta: Fields = msgspec.field(default_factory=dict)


_decode_choices = msgspec.json.Decoder(list[_Choice]).decode


class MessageWriter(NormalizedStream):
    """Write the stream of one answer."""

    is_cumulative = False

    def __init__(self, request: ClientRequest, *, answer_id: str, created_s: int) -> None:
        super().__init__(request, answer_id=answer_id)
        self._answer_id, self._created_s = answer_id, created_s
        self._reader = MessageReader(request)
        self._has_begun = False
        self._counted: Raw | None = None
        """The worker's last token counts, as it sent them."""
        self._before = self._after = b""
        """Encoded bytes around the text of a chunk that repeats the template `_template`."""

    def write(self, chunk: Fields) -> bytes:
        """Return the events for one chunk of the worker, or no bytes.

        Raises:
            OutputLostError: The chunk is malformed, or belongs to a second run of the job.
            JobFailedError: The worker gave up on the answer.
        """
        last = self.usage
        choices = self._read(chunk)
        if self.usage is not last:
            self._counted = chunk["usage"]
        if choices is None:
            return b""
        events = [
            event for each in _decode_choices(choices) if each.index == 0 for event in self._reader.read(each.delta)
        ]
        return b"".join([self._start(), *map(encode_block_event, events)])

    def write_templated(self, template: ChunkTemplate, text: bytes) -> bytes:
        """Return the event for a chunk that is the template with this text: the same bytes as `write` returns.

        Raises:
            GatewayError: Any error of `write`.
        """
        if template is self._template and text:
            self._choices.text_bytes += len(text)
            self._choices.parts += 1
            return self._before + text + self._after
        text_bytes, parts = self.text_bytes, self._choices.parts
        event = self.write(template.filled(text))
        is_counted = self.text_bytes - text_bytes == len(text) and self._choices.parts - parts == 1
        index = self._reader.blocks.text_index
        is_text = text and self._is_plain and is_counted
        edges = delta_edges(index, TEXT) if is_text and index is not None else None
        # Only in this case can the next chunk be written without `write`: it continues the block with its text.
        if edges is not None and event == edges[0] + text + edges[1]:
            self._template, (self._before, self._after) = template, edges
        return event

    def end(self) -> bytes:
        """Return the events that complete the message.

        Raises:
            OutputLostError: The answer is not complete.
        """
        # Text that was held back comes first, the finish reason last.
        own = [closing.choice for closing in self._choices.end() if bytes(closing.choice["index"]) == b"0"]
        events = [event for choice in own for event in self._reader.read(openai.decode_fields(choice["delta"]))]
        last_events, stop = self._reader.end(own[-1])
        last = message_end(stop, usage_fields(self.settled_usage(), self._counted))
        return b"".join([self._start(), *map(encode_block_event, [*events, *last_events]), last])

    def idle(self) -> bytes:
        """Return an event without content, which clients accept at any place."""
        return PING

    def unsent(self, events: bytes) -> None:
        """Do nothing: an error event needs no events before it."""

    def failure(self, answer: ErrorAnswer) -> bytes:
        """Return the error as the last event of the stream."""
        return error_event(answer)

    def again(self) -> "MessageWriter":
        """Return the writer for another attempt: a ping precedes a message as well."""
        return MessageWriter(self._request, answer_id=self._answer_id, created_s=self._created_s)

    def _start(self) -> bytes:
        """Return the event that begins the message, the first time; the input is counted if the worker did already."""
        if self._has_begun:
            return b""
        self._has_begun = True
        known = Usage() if self.usage is None else Usage(prompt_tokens=self.usage.prompt_tokens)
        usage = usage_fields(known, self._counted)
        return message_start(message(self._request, answer_id=self._answer_id, usage=usage))
