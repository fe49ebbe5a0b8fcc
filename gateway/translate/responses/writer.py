"""Write the events of a streamed response, and the object at its end, from the chunks of a chat completion.

The body of an answer that is not streamed is the same object, made in the same way.
"""

from gateway.domain import Usage
from gateway.translate.chunk_template import ChunkTemplate
from gateway.translate.completion import split_completion
from gateway.translate.error_body import ErrorAnswer
from gateway.translate.normalized_stream import NormalizedStream
from gateway.translate.responses.choice_parts import read_parts
from gateway.translate.responses.output import Output
from gateway.translate.responses.output_items import Event, Message
from gateway.translate.responses.request import ResponsesRequest
from gateway.translate.responses.response_object import ObjectEncoder, response_usage
from gateway.wire import openai
from gateway.wire.openai import NULL, Fields

ID_LENGTH = 16
"""Characters of the response's id in those of its items, which every delta repeats."""
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons that end a response as incomplete, with the reason that it tells."""


class ResponseWriter(NormalizedStream):
    """Write the stream of one response as server-sent events."""

    is_cumulative = True

    def __init__(self, request: ResponsesRequest, *, answer_id: str, created_s: int, number: int = 0) -> None:
        """Create it; `number` is that of its first event, if another writer has sent signs of life before it."""
        super().__init__(request, answer_id=answer_id)
        self._responses_request, self._answer_id, self._created_s = request, answer_id, created_s
        self._object = ObjectEncoder(request, answer_id=answer_id, created_s=created_s)
        self._output = Output(request.declared, id_suffix=answer_id.rpartition("_")[2][:ID_LENGTH])
        self._number = number
        """Sequence number of the next event."""
        self._idle_number = number
        """The same after the last sign of life before any other event."""
        self._out: list[bytes] = []
        """Encoded events that were not returned yet."""
        self._unsent = b""
        self._before = self._middle = self._after = b""
        """Encoded bytes around the number and the text of a delta that repeats the template `_template`."""

    def write(self, chunk: Fields) -> bytes:
        """Return the events for one chunk of the worker, or no bytes if it has nothing to pass on.

        Raises:
            OutputLostError: The chunk is malformed, or belongs to a second run of the job.
            JobFailedError: The worker gave up on the answer.
        """
        choices = self._read(chunk)
        if choices is None:
            return b""
        self._begin()
        parts, _ = read_parts(choices)
        for part in parts:
            self._output.add(part)
        return self._returned()

    def write_templated(self, template: ChunkTemplate, text: bytes) -> bytes:
        """Return the events for a chunk that is the template with this text: the same bytes as `write` returns.

        Raises:
            GatewayError: Any error of `write`.
        """
        item = self._output.item
        if template is self._template and text and item is not None:
            self._choices.text_bytes += len(text)
            self._choices.parts += 1
            item.text += text
            number = self._number
            self._number = number + 1
            return b"%b%d%b%b%b" % (self._before, number, self._middle, text, self._after)
        text_bytes = self.text_bytes
        events = self.write(template.filled(text))
        if text and self._is_plain and self.text_bytes - text_bytes == len(text):
            self._learn(template, text, events)
        return events

    def _learn(self, template: ChunkTemplate, text: bytes, events: bytes) -> None:
        """Note the template if these events are one delta with its text, and nothing else."""
        item = self._output.item
        if type(item) is not Message:
            return
        name, before, after = b"output_text.delta", b'%b,"delta":"' % item.place, b'","logprobs":[]'
        if events == _encoded(self._number - 1, (name, before + text + after)):
            self._template = template
            self._before = b'event: response.%b\ndata: {"type":"response.%b","sequence_number":' % (name, name)
            self._middle, self._after = b"," + before, after + b"}\n\n"

    def end(self) -> bytes:
        """Return the events that complete the response.

        Raises:
            OutputLostError: The answer is not complete.
        """
        reason = self._finish()
        last = self._ended(reason, self.settled_usage())
        self._drain()
        self._emit(b"completed" if reason is None else b"incomplete", last)
        return self._returned()

    def body(self, usage: Usage) -> bytes:
        """Return the object of a complete answer that is not streamed; errors as for `end`."""
        return self._ended(self._finish(), usage)

    def idle(self) -> bytes:
        """Return a sign of life that clients count, unlike comments: `response.in_progress`, as often as necessary."""
        is_first = self._number == self._idle_number
        if not self._begin():
            self._emit(b"in_progress", self._object.open())
        if is_first:
            self._idle_number = self._number
        return self._returned()

    def unsent(self, events: bytes) -> None:
        """Note that events which `write` returned were not sent: they precede the failure."""
        self._unsent = events

    def failure(self, answer: ErrorAnswer) -> bytes:
        """Return the last events of a stream that has failed: those that were not sent, and `response.failed`."""
        events = [] if self._number else [(b"created", b'"response":%b' % self._object.open())]
        events += self._output.events
        items = self._output.encoded_items()
        usage = response_usage(self.settled_usage(), self._usage_fields) if items else NULL
        events.append((b"failed", b'"response":%b' % self._object.failed(items, usage, answer)))
        encoded = [_encoded(number, event) for number, event in enumerate(events, start=self._number)]
        return b"".join([self._unsent, *self._out, *encoded])

    def again(self) -> "ResponseWriter":
        """Return the writer for another attempt, which goes on after the signs of life."""
        request, number = self._responses_request, self._idle_number
        return ResponseWriter(request, answer_id=self._answer_id, created_s=self._created_s, number=number)

    def _begin(self) -> bool:
        """Write the first events, unless they were written; return True if they were not."""
        if self._number:
            return False
        opened = self._object.open()
        self._emit(b"created", opened)
        self._emit(b"in_progress", opened)
        return True

    def _finish(self) -> str | None:
        """Close all items; return why the response is incomplete, or None.

        Raises:
            OutputLostError: The answer is not complete.
        """
        closing = self._choices.end()
        self._template = None
        self._begin()
        parts, finish_reason = read_parts(openai.join_objects([each.choice for each in closing]))
        for part in parts:
            self._output.add(part)
        reason = _INCOMPLETE.get(finish_reason or "")
        self._output.finish(b"completed" if reason is None else b"incomplete")
        return reason

    def _ended(self, reason: str | None, usage: Usage) -> bytes:
        counts = response_usage(usage, self._usage_fields)
        return self._object.ended(self._output.done, counts, incomplete_reason=reason)

    def _emit(self, name: bytes, encoded_object: bytes) -> None:
        """Write an event with the object."""
        self._out.append(_encoded(self._number, (name, b'"response":%b' % encoded_object)))
        self._number += 1

    def _drain(self) -> None:
        events, self._output.events = self._output.events, []
        for event in events:
            self._out.append(_encoded(self._number, event))
            self._number += 1

    def _returned(self) -> bytes:
        self._drain()
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)


def finish_response(whole: Fields, request: ResponsesRequest, *, answer_id: str, created_s: int, usage: Usage) -> bytes:
    """Return the object of a complete answer.

    Raises:
        OutputLostError: It is not a completion, or not complete.
        JobFailedError: The worker gave up on the answer.
    """
    writer = ResponseWriter(request, answer_id=answer_id, created_s=created_s)
    for chunk in split_completion(whole):
        writer.write(chunk)
    return writer.body(usage)


def _encoded(number: int, event: Event) -> bytes:
    """Encode one event, whose name is also its type."""
    name, fields = event
    form = b'event: response.%b\ndata: {"type":"response.%b","sequence_number":%d,%b}\n\n'
    return form % (name, name, number, fields)
