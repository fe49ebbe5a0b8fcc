"""Normalize the choices of a worker's chunks to the form that OpenAI's clients accept.

The role comes once and first, tool calls are assembled, and each choice has one finish reason, at the end of the
answer: workers send one too early, twice, or on every chunk, and clients stop reading at the first. Streamed and folded
answers use the same rules. Conforming chunks are returned unchanged.
"""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.errors import OutputLostError
from gateway.translate.choice_content import (
    completion_text_of,
    content_of,
    delta_of,
    delta_size,
    raise_choice_error,
    read_choices,
    text_size,
)
from gateway.translate.choice_state import CHUNK_FIELDS, REASONING, ChoiceState
from gateway.translate.finish_reasons import CONTENT_FILTER, missing_reason, read_finish_reason
from gateway.translate.request import ClientRequest, tool_names
from gateway.translate.tool_calls import ToolCallAssembler
from gateway.wire import openai
from gateway.wire.lenient import integer_of, is_empty, is_null
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, ChoiceView, Fields

SURPLUS_MAX = 128
"""Maximum number of choices beyond those requested; more raise an error."""
NOT_OPENAI = "The worker sent a chunk that is not in OpenAI's format."
_ROLE = Raw(b'"assistant"')
_EMPTY = Raw(b'""')
_ENDING_FIELDS = frozenset({"stop_reason", "matched_stop"})
"""Fields that accompany a finish reason."""
_BODIES = ("delta", "message", "text")
_METADATA = CHUNK_FIELDS | {"type", "event", "system_fingerprint", "service_tier", "provider"}
"""Fields that a chunk without choices may have without carrying content."""


class ClosingChoice(msgspec.Struct, frozen=True):
    """Hold the last part of a choice, and extra fields for the chunk that carries it."""

    choice: Fields
    extra: Fields


class ChoiceNormalizer:
    """Normalize the choices of one answer."""

    def __init__(self, request: ClientRequest, *, answer_id: str) -> None:
        self.text_bytes = 0
        """Bytes of text that were passed on, including reasoning and tool calls, for an estimate of tokens."""
        self.parts = 0
        """Number of parts of choices that were passed on, without those that only begin or end a choice. A worker
        generates at least one token for each, whatever the names of their fields."""
        self._request = request
        self._answer_id = answer_id
        self._is_chat = request.api.is_chat
        self._choices: dict[int, ChoiceState] = {}
        self._only_index: int | None = None
        """The worker's index of the choice if only one was requested; None until it arrives."""
        self._has_unknown = False

    @property
    def is_whole(self) -> bool:
        """Return True if every requested choice has its finish reason, and no content came after it."""
        return sum(choice.is_complete for choice in self._choices.values()) >= self._request.expected_choices

    @property
    def has_started(self) -> bool:
        """Return True if a choice has begun."""
        return bool(self._choices)

    def add(self, chunk: Fields) -> Raw | None:
        """Return the choices of a chunk in normalized form, or None if there is nothing to pass on.

        Raises:
            OutputLostError: The chunk has content that cannot be read.
            JobFailedError: The worker gave up on a choice.
        """
        raw = chunk.get("choices")
        if raw is None or is_empty(raw):
            self._has_unknown |= is_null(raw) and not chunk.keys() <= _METADATA
            return None
        if self._note_unchanged(raw):
            return raw
        try:
            read = read_choices(raw)
            written = [self._normalize(fields, chunk, self._index_of(fields, at)) for at, fields in enumerate(read)]
        except MALFORMED:
            raise OutputLostError(NOT_OPENAI) from None
        choices = [fields for fields in written if fields is not None]
        return openai.join_objects(choices) if choices else None

    def _note_unchanged(self, raw: Raw) -> bool:
        """Record choices that can be passed on unchanged; return False if they have to be normalized.

        In both cases, choices that are seen for the first time are counted.
        """
        try:
            views = openai.decode_choices(raw)
            if self._request.expected_choices <= 1 and not self._is_first(views[0]):
                return False
            if not all(map(self._is_normal, views)):
                return False
            for view in views:
                self._note(view)
        except MALFORMED:
            return False
        return True

    def _is_first(self, view: ChoiceView) -> bool:
        """Return True if the worker's index of the only choice is 0, as far as it is known."""
        if self._only_index is None:
            self._only_index = view.index
        return self._only_index == 0

    def _index_of(self, fields: Fields, position: int) -> int:
        """Return the normalized index of a choice: if only one was requested, it gets 0, whatever its index."""
        index = integer_of(fields.get("index"))
        if self._request.expected_choices > 1:
            return position if index is None else max(0, index)
        if index is None:
            return position
        if self._only_index is None:
            self._only_index = index
        # A choice that was not requested must not take the index of the requested one.
        return 0 if index == self._only_index else max(0, index) or max(1, self._only_index)

    def end(self) -> list[ClosingChoice]:
        """Return the tool calls that were held back and the finish reasons, in the order of the choices.

        A complete answer without any finish reason from the worker ends with `stop`, or `tool_calls` after a tool call.
        If another choice has a finish reason, or a part of the stream was not understood, a missing one means that the
        choice was cut short.

        Raises:
            OutputLostError: A choice is missing, or was cut short.
        """
        expected = self._request.expected_choices
        if len(self._choices) < expected:
            raise OutputLostError(f"The worker returned {len(self._choices)} of {expected} choices.")
        has_reasons = any(choice.reason for choice in self._choices.values())
        closing: list[ClosingChoice] = []
        for index, choice in sorted(self._choices.items()):
            self._check_complete(index, choice, is_reason_due=has_reasons or self._has_unknown)
            if choice.tool_calls is not None and (calls := choice.tool_calls.flush()):
                closing.append(ClosingChoice(self._with_calls(index, calls), {}))
            closing.append(self._closing_choice(index, choice))
        return closing

    def _check_complete(self, index: int, choice: ChoiceState, *, is_reason_due: bool) -> None:
        """Check that a choice was not cut short; `is_reason_due` is True if it cannot end without a finish reason.

        Raises:
            OutputLostError: It has no content, or is requested and was cut short.
        """
        if not choice.has_body and choice.reason != CONTENT_FILTER:
            raise OutputLostError("The worker sent a choice without content.")
        if choice.reason or index >= self._request.expected_choices:
            return
        if is_reason_due or not choice.has_content:
            raise OutputLostError("The worker's answer is incomplete: a choice has no finish reason.")

    def _closing_choice(self, index: int, choice: ChoiceState) -> ClosingChoice:
        """Return the part that carries the finish reason, and the fields that came with it."""
        reason = choice.reason or missing_reason(has_tool_calls=choice.has_tool_calls)
        content = {"delta": Raw(b"{}")} if self._is_chat else {"text": _EMPTY}
        own = {"index": _number(index), **content, "finish_reason": Raw(openai.encode(reason))}
        return ClosingChoice(choice.ending | own, choice.extra)

    def _choice(self, index: int) -> ChoiceState:
        choice = self._choices.get(index)
        if choice is None:
            if len(self._choices) >= self._request.expected_choices + SURPLUS_MAX:
                raise OutputLostError(f"The worker sent more than {len(self._choices)} choices.")
            choice = self._choices[index] = ChoiceState()
        return choice

    def _is_normal(self, view: ChoiceView) -> bool:
        """Return True if a choice can be passed on unchanged."""
        if view.index is None or view.index < 0 or view.finish_reason is not None or view.error is not UNSET:
            return False
        choice = self._choice(view.index)
        if choice.reason:
            return False
        if not self._is_chat:
            return view.text is not UNSET and bytes(view.text)[:1] == b'"'
        delta = view.delta
        if delta is None or view.message is not UNSET or view.text is not UNSET:
            return False
        if delta.tool_calls is not UNSET and bytes(delta.tool_calls) != b"null":
            return False
        if not _is_text(delta.content):
            return False
        return delta.role is UNSET if choice.started else delta.role == "assistant"

    def _note(self, view: ChoiceView) -> None:
        choice = self._choice(view.index or 0)
        has_started, choice.started, choice.has_body = choice.started, True, True
        delta = view.delta
        if delta is None:
            size = text_size(view.text)
        else:
            size = text_size(delta.content)
            if size > 0:
                choice.streamed.add("content")
            if delta.reasoning is not UNSET or delta.reasoning_content is not UNSET or delta.refusal is not UNSET:
                # Workers that send both names of the reasoning send the same text.
                reasoning = max(text_size(delta.reasoning), text_size(delta.reasoning_content))
                size += reasoning + text_size(delta.refusal)
                choice.streamed |= REASONING if reasoning > 0 else {"refusal"}
        choice.text_size += size
        self.text_bytes += size
        self.parts += size > 0 or has_started

    def _normalize(self, fields: Fields, chunk: Fields, index: int) -> Fields | None:
        raise_choice_error(fields)
        reason = read_finish_reason(fields.get("finish_reason"))
        if self._is_surplus(fields, index, reason):
            return None
        choice = self._choice(index)
        choice.has_body |= any(not is_null(fields.get(name)) for name in _BODIES)
        said, has_content = self._chat_delta(fields, choice) if self._is_chat else self._text(fields, choice)
        if has_content and choice.reason:
            choice.is_continued = True
        if reason:
            choice.close(reason, fields, chunk, has_content=has_content)
            fields = {name: value for name, value in fields.items() if name not in _ENDING_FIELDS}
        if not has_content and choice.reason and choice.started:
            return None
        self.parts += has_content or (choice.started and not reason)
        choice.started = True
        return {**fields, "index": _number(index), "finish_reason": NULL, **said}

    def _is_surplus(self, fields: Fields, index: int, reason: str) -> bool:
        """Return True if this is an empty choice that was not requested: some workers pad the list."""
        if index in self._choices or len(self._choices) < self._request.expected_choices or reason:
            return False
        return all(is_empty(fields.get(name)) for name in _BODIES)

    def _text(self, fields: Fields, choice: ChoiceState) -> tuple[Fields, bool]:
        if choice.text_size and is_empty(fields.get("text")) and is_empty(fields.get("delta")):
            # A message at the end repeats the text.
            fields.pop("message", None)
        text = completion_text_of(fields) or _EMPTY
        fields.pop("delta", None)
        fields.pop("message", None)
        choice.text_size += text_size(text)
        self.text_bytes += text_size(text)
        return {"text": text}, bytes(text) != b'""'

    def _chat_delta(self, fields: Fields, choice: ChoiceState) -> tuple[Fields, bool]:
        """Return the delta to pass on, and True if it has content."""
        delta, is_message = delta_of(fields)
        fields.pop("message", None)
        fields.pop("text", None)
        delta.pop("role", None)
        if "content" in delta:
            delta["content"] = content_of(delta["content"])
        raw_calls = delta.pop("tool_calls", NULL)
        if is_message:
            delta = choice.unsaid(delta, is_last=not is_empty(fields.get("finish_reason")))
            raw_calls = NULL if choice.has_tool_calls else raw_calls
        else:
            choice.streamed.update(name for name, value in delta.items() if not is_empty(value))
        size = delta_size(delta)
        choice.text_size += size
        self.text_bytes += size
        calls = self._assembled(raw_calls, choice)
        if calls:
            delta["tool_calls"] = openai.join_objects(calls)
            self.text_bytes += len(bytes(delta["tool_calls"]))
        has_content = any(not is_empty(value) for value in delta.values())
        first = {} if choice.started else {"role": _ROLE, "content": _EMPTY}
        return {"delta": Raw(openai.encode(first | delta))}, has_content

    def _assembled(self, raw_calls: Raw, choice: ChoiceState) -> list[Fields]:
        if is_empty(raw_calls):
            return []
        if choice.tool_calls is None:
            number = sum(each.tool_calls is not None for each in self._choices.values())
            prefix = f"{self._answer_id.rpartition('-')[2][:20]}{number:02x}"
            choice.tool_calls = ToolCallAssembler(id_prefix=prefix, tool_names=tool_names(self._request))
        return choice.tool_calls.add(raw_calls)

    def _with_calls(self, index: int, calls: list[Fields]) -> Fields:
        delta = Raw(openai.encode({"tool_calls": calls}))
        self.text_bytes += len(bytes(delta))
        return {"index": _number(index), "delta": delta, "finish_reason": NULL}


def _is_text(content: Raw | UnsetType) -> bool:
    return content is UNSET or bytes(content)[:1] in {b'"', b"n"}


def _number(number: int) -> Raw:
    return Raw(str(number).encode())
