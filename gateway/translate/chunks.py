"""Chunks as every OpenAI client reads them, whatever the worker sent.

One id, time and model on all of them; the role once and first; one finish reason per choice and nothing after it; the
parts of a tool call named once; usage only if asked, in a last chunk without choices. A worker that obeys is passed
through byte by byte; one that does not is mended.
"""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.domain import Api, Usage
from gateway.errors import JobFailedError, OutputLostError
from gateway.translate.refrain import Refrain
from gateway.translate.request import ClientRequest
from gateway.translate.retelling import Retelling
from gateway.translate.tool_calls import mend_tool_call
from gateway.translate.usage import estimate_usage, read_usage, usage_fields
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, ChoiceView, DeltaView, Fields
from gateway.wire.sse import encode_event

_ROLE = Raw(b'"assistant"')
_OWN_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_NO_DELTA = DeltaView()
_OBJECTS = {Api.CHAT_COMPLETIONS: "chat.completion.chunk", Api.COMPLETIONS: "text_completion"}
_BROKEN_FINISH = frozenset({"abort", "error"})
"""vLLM's words for an answer that it gave up on."""


_decode_text = msgspec.json.Decoder(str | None).decode


class _Choice(msgspec.Struct):
    """What was written of one choice."""

    started: bool = False
    finished: bool = False
    tool_call_ids: dict[int, bytes] = msgspec.field(default_factory=dict)


class ChunkWriter:
    """Writes the stream of one answer as server-sent events."""

    def __init__(self, request: ClientRequest, *, answer_id: str, created_s: int) -> None:
        self.usage: Usage | None = None
        """The last count that the worker gave; counts in a stream are cumulative."""
        self._usage_fields: Fields = {}
        self.text_bytes = 0
        """How much text was written, for an estimate where no count comes."""
        self._request = request
        self._is_chat = request.api is Api.CHAT_COMPLETIONS
        self._choices: dict[int, _Choice] = {}
        self._retelling = Retelling()
        self._refrain: Refrain | None = None
        self._before = self._after = b""
        """What is written around the text of a chunk that is the refrain again."""
        self._is_plain = False
        """Whether the last chunk was written as it came, and ended no choice."""
        head = {"id": answer_id, "object": _OBJECTS[request.api], "created": created_s, "model": request.model}
        self._head = openai.encode(head)[:-1] + b',"choices":'

    @property
    def is_whole(self) -> bool:
        """Whether every choice that was asked for has its finish reason."""
        finished = sum(choice.finished for choice in self._choices.values())
        return finished >= self._request.n

    def settled_usage(self) -> Usage:
        """The worker's count, or an estimate by size."""
        if self.usage is not None:
            return self.usage
        return estimate_usage(prompt_bytes=self._request.prompt_bytes, completion_bytes=self.text_bytes)

    def write(self, chunk: Fields) -> bytes:
        """The events for one chunk of the worker's: none, or one.

        Raises:
            OutputLostError: The chunk is malformed, or belongs to a second telling of the answer.
            JobFailedError: The worker gave up on the answer.
        """
        self._refrain, self._is_plain = None, False
        if self._retelling.begins_with(chunk):
            raise OutputLostError("The worker was lost in the middle of its answer, and the job began anew.")
        usage = chunk.get("usage")
        if usage is not None and (counted := read_usage(usage)) is not None:
            self.usage, self._usage_fields = counted, openai.decode_fields(usage)
        try:
            views = openai.decode_choices(chunk.get("choices", b"[]"))
            choices = self._due_choices(chunk, views) if views else None
        except MALFORMED:
            raise OutputLostError("The worker sent a chunk that is not OpenAI's.") from None
        if choices is None:
            return b""
        self._is_plain = choices is chunk.get("choices") and not any(view.finish_reason for view in views)
        shows_usage = self._request.wants_continuous_usage and usage is not None
        return self._event(choices, usage=usage if shows_usage else None, chunk=chunk)

    def write_again(self, refrain: Refrain, text: bytes) -> bytes:
        """The events for a chunk that is the refrain with this text: what `write` gives for it.

        Raises:
            GatewayError: What `write` raises.
        """
        if refrain is self._refrain:
            self.text_bytes += len(text)
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
        """What the answer still lacks: finish reasons, and usage where it was asked for.

        Raises:
            OutputLostError: The worker answered fewer choices than were asked for.
        """
        if len(self._choices) < self._request.n:
            raise OutputLostError(f"The worker gave {len(self._choices)} of {self._request.n} choices.")
        events = [self._event(openai.join_objects([self._finish(index)])) for index in self._unfinished()]
        if self._request.wants_usage:
            usage = self._usage_fields | usage_fields(self.settled_usage())
            events.append(self._event(Raw(b"[]"), usage=Raw(openai.encode(usage))))
        return b"".join(events)

    def idle(self) -> bytes:
        """A chunk that says nothing, for clients that count the time between chunks."""
        return self._event(Raw(b'[{"index":0,"delta":{},"finish_reason":null}]')) if self._is_chat else b""

    def _event(self, choices: Raw, *, usage: Raw | None = None, chunk: Fields | None = None) -> bytes:
        body = self._head + bytes(choices)
        if usage is not None:
            body += b',"usage":' + bytes(usage)
        if chunk is not None:
            extra = {name: value for name, value in chunk.items() if name not in _OWN_FIELDS}
            if extra:
                body += b"," + openai.encode(extra)[1:-1]
        return encode_event(body + b"}")

    def _unfinished(self) -> list[int]:
        return [index for index, choice in sorted(self._choices.items()) if not choice.finished]

    def _finish(self, index: int) -> Fields:
        choice = self._choices[index]
        choice.finished = True
        reason = b'"tool_calls"' if choice.tool_call_ids else b'"stop"'
        finish = {"index": Raw(str(index).encode()), "finish_reason": Raw(reason)}
        return finish | ({"delta": Raw(b"{}")} if self._is_chat else {"text": Raw(b'""')})

    def _due_choices(self, chunk: Fields, views: list[ChoiceView]) -> Raw | None:
        """The choices to write: the worker's own bytes where they are as they should be."""
        if all(self._is_due(view) for view in views):
            for view in views:
                self._note(view)
            return chunk["choices"]
        mended: list[Fields] = []
        for view, fields in zip(views, openai.decode_objects(chunk["choices"]), strict=True):
            if not self._choice(view).finished:
                mended.append(self._mend(view, fields))
                self._note(view)
        return openai.join_objects(mended) if mended else None

    def _choice(self, view: ChoiceView) -> _Choice:
        return self._choices.setdefault(view.index or 0, _Choice())

    def _is_due(self, view: ChoiceView) -> bool:
        """Whether this choice can be written as it is."""
        choice = self._choice(view)
        if choice.finished or view.index is None or view.finish_reason is UNSET or view.finish_reason == "":
            return False
        if not self._is_chat:
            return view.text is not UNSET and bytes(view.text)[:1] == b'"'
        delta = view.delta
        if delta is None or (delta.tool_calls is not UNSET and bytes(delta.tool_calls) != b"null"):
            return False
        if not _is_text(delta.content):
            return False
        return delta.role is UNSET if choice.started else delta.role == "assistant"

    def _note(self, view: ChoiceView) -> None:
        """Remember what was written."""
        choice = self._choice(view)
        choice.started = True
        text = view.text if view.delta is None else view.delta.content
        if text is not UNSET and bytes(text) != b"null":
            self.text_bytes += len(bytes(text)) - 2
        if view.finish_reason in _BROKEN_FINISH:
            raise JobFailedError("The worker gave up on this answer.")
        if view.finish_reason:
            choice.finished = True

    def _mend(self, view: ChoiceView, fields: Fields) -> Fields:
        fields["index"] = Raw(str(view.index or 0).encode())
        if not view.finish_reason:
            fields["finish_reason"] = NULL
        if self._is_chat:
            delta = openai.decode_fields(fields["delta"]) if view.delta is not None else {}
            fields["delta"] = Raw(openai.encode(self._mend_delta(view.delta or _NO_DELTA, delta, self._choice(view))))
        else:
            fields["text"] = Raw(openai.encode(_decode_text(fields.get("text", NULL)) or ""))
        return fields

    def _mend_delta(self, view: DeltaView, delta: Fields, choice: _Choice) -> Fields:
        delta.pop("role", None)
        if view.content is not UNSET and not _is_text(view.content):
            # worker-vllm 0.2 wrote the batch as a list of texts.
            delta["content"] = Raw(openai.encode("".join(msgspec.json.decode(view.content, type=list[str]))))
        if view.tool_calls is not UNSET:
            calls = openai.decode_objects(view.tool_calls) if bytes(view.tool_calls) != b"null" else []
            delta.pop("tool_calls")
            if calls:
                delta["tool_calls"] = openai.join_objects(mend_tool_call(call, choice.tool_call_ids) for call in calls)
        if choice.started:
            return delta
        return {"role": _ROLE, "content": Raw(b'""')} | delta


def _is_text(content: Raw | UnsetType) -> bool:
    """Whether a delta's content is as it should be: a text, null, or left out."""
    return content is UNSET or bytes(content)[:1] in {b'"', b"n"}
