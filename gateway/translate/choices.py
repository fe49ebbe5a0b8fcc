"""Normalize the choices of a worker's chunks to what OpenAI's clients accept.

The role comes once and first, tool calls are assembled, and each choice has one finish reason, at the end of the
answer: workers send one too early, twice, or on every chunk, and clients stop reading at the first. Streamed and folded
answers use the same rules. Chunks that obey them are returned as they came.
"""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.domain import Api
from gateway.errors import OutputLostError
from gateway.translate.choice_content import (
    completion_text_of,
    content_of,
    delta_of,
    raise_choice_error,
    read_choices,
)
from gateway.translate.finish_reasons import later_reason, missing_reason, read_finish_reason
from gateway.translate.request import ClientRequest, tool_names
from gateway.translate.tool_calls import ToolCallAssembler
from gateway.wire import openai
from gateway.wire.lenient import integer_of, is_empty
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, ChoiceView, Fields

SURPLUS_MAX = 128
"""Choices beyond those that were asked for: more are not kept apart."""
NOT_OPENAI = "The worker sent a chunk that is not in OpenAI's format."
_ROLE = Raw(b'"assistant"')
_EMPTY = Raw(b'""')
_ENDING_FIELDS = frozenset({"stop_reason", "matched_stop"})
"""Fields that go with a finish reason."""
_CONTENT_FIELDS = frozenset({"logprobs", "token_ids"})
"""Fields that go with the text."""
_CHUNK_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_METADATA = _CHUNK_FIELDS | {"type", "event", "system_fingerprint", "service_tier", "provider"}
"""What a chunk without choices may hold and still say nothing."""


class ClosingChoice(msgspec.Struct, frozen=True):
    """A last part of a choice, and the fields of the chunk that it came in."""

    choice: Fields
    extra: Fields


class _Choice(msgspec.Struct, eq=False):
    """What was seen of one choice."""

    started: bool = False
    text_size: int = 0
    """How many bytes of text were passed on, without the tool calls."""
    reason: str = ""
    is_continued: bool = False
    """Whether the last content came after the last finish reason, which then does not show that all has come."""
    ending: Fields = msgspec.field(default_factory=dict)
    """The fields that came with the finish reason."""
    extra: Fields = msgspec.field(default_factory=dict)
    """Those of its chunk."""
    tool_calls: ToolCallAssembler | None = None

    @property
    def has_tool_calls(self) -> bool:
        return self.tool_calls is not None and self.tool_calls.has_calls

    @property
    def has_content(self) -> bool:
        return self.text_size > 0 or self.has_tool_calls

    @property
    def is_complete(self) -> bool:
        return bool(self.reason) and not self.is_continued


class ChoiceNormalizer:
    """Normalizes the choices of one answer."""

    def __init__(self, request: ClientRequest, *, answer_id: str) -> None:
        self.text_bytes = 0
        """How much text was passed on, for an estimate of tokens: reasoning and tool calls included."""
        self._request = request
        self._answer_id = answer_id
        self._is_chat = request.api is Api.CHAT_COMPLETIONS
        self._choices: dict[int, _Choice] = {}
        self._has_unknown = False

    @property
    def is_whole(self) -> bool:
        """Report whether every choice that was asked for has its finish reason, and nothing came after it."""
        return sum(choice.is_complete for choice in self._choices.values()) >= self._request.expected_choices

    @property
    def has_started(self) -> bool:
        """Report whether a choice has begun."""
        return bool(self._choices)

    def add(self, chunk: Fields) -> Raw | None:
        """Return the choices of a chunk as they are to be passed on; None if there is nothing to pass on.

        Raises:
            OutputLostError: The chunk has content that cannot be read.
            JobFailedError: The worker gave up on a choice.
        """
        raw = chunk.get("choices")
        if raw is None or is_empty(raw):
            self._has_unknown |= raw is None and not chunk.keys() <= _METADATA
            return None
        try:
            views = openai.decode_choices(raw)
            if (views[0].index == 0 or self._request.expected_choices > 1) and all(map(self._is_normal, views)):
                for view in views:
                    self._note(view)
                return raw
        except MALFORMED:
            pass
        try:
            read = read_choices(raw)
            written = [
                self._normalize(fields, chunk, self._index_of(fields, at, len(read))) for at, fields in enumerate(read)
            ]
        except MALFORMED:
            raise OutputLostError(NOT_OPENAI) from None
        choices = [fields for fields in written if fields is not None]
        return openai.join_objects(choices) if choices else None

    def _index_of(self, fields: Fields, position: int, count: int) -> int:
        """Return the index of a choice: a single one of an answer with one choice is the first, whatever its index."""
        if self._request.expected_choices == 1 and count == 1:
            return 0
        index = integer_of(fields.get("index"))
        return position if index is None else max(0, index)

    def end(self) -> list[ClosingChoice]:
        """Return the tool calls that were held back and the finish reasons, in the order of the choices.

        A complete answer whose worker writes no finish reasons at all ends with `stop`. Where another choice has one,
        or a part of the stream was not understood, a missing reason means that the choice was cut short.

        Raises:
            OutputLostError: A choice is missing, or was cut short.
        """
        expected = self._request.expected_choices
        if len(self._choices) < expected:
            raise OutputLostError(f"The worker gave {len(self._choices)} of {expected} choices.")
        writes_reasons = any(choice.reason for choice in self._choices.values())
        closing: list[ClosingChoice] = []
        for index, choice in sorted(self._choices.items()):
            if not choice.reason and (writes_reasons or self._has_unknown or not choice.has_content):
                raise OutputLostError("The worker's answer was cut short: a choice has no finish reason.")
            if choice.tool_calls is not None and (calls := choice.tool_calls.flush()):
                closing.append(ClosingChoice(self._with_calls(index, calls), {}))
            reason = choice.reason or missing_reason(has_tool_calls=choice.has_tool_calls)
            said = {"delta": Raw(b"{}")} if self._is_chat else {"text": _EMPTY}
            own = {"index": _number(index), **said, "finish_reason": Raw(openai.encode(reason))}
            closing.append(ClosingChoice(choice.ending | own, choice.extra))
        return closing

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            if len(self._choices) >= self._request.expected_choices + SURPLUS_MAX:
                raise OutputLostError(f"The worker sent more than {len(self._choices)} choices.")
            choice = self._choices[index] = _Choice()
        return choice

    def _is_normal(self, view: ChoiceView) -> bool:
        """Report whether a choice can be passed on as it is."""
        if view.index is None or view.index < 0 or view.finish_reason is not None or view.error is not UNSET:
            return False
        choice = self._choice(view.index)
        if choice.reason:
            return False
        if not self._is_chat:
            return view.text is not UNSET and bytes(view.text)[:1] == b'"'
        delta = view.delta
        if delta is None or view.message is not UNSET:
            return False
        if delta.tool_calls is not UNSET and bytes(delta.tool_calls) != b"null":
            return False
        if not _is_text(delta.content):
            return False
        return delta.role is UNSET if choice.started else delta.role == "assistant"

    def _note(self, view: ChoiceView) -> None:
        choice = self._choice(view.index or 0)
        choice.started = True
        delta = view.delta
        if delta is None:
            size = _text_size(view.text)
        else:
            size = _text_size(delta.content)
            if delta.reasoning is not UNSET or delta.reasoning_content is not UNSET or delta.refusal is not UNSET:
                # Workers that send both names of the reasoning send the same text.
                reasoning = max(_text_size(delta.reasoning), _text_size(delta.reasoning_content))
                size += reasoning + _text_size(delta.refusal)
        choice.text_size += size
        self.text_bytes += size

    def _normalize(self, fields: Fields, chunk: Fields, index: int) -> Fields | None:
        raise_choice_error(fields)
        reason = read_finish_reason(fields.get("finish_reason"))
        if self._is_surplus(fields, index, reason):
            return None
        choice = self._choice(index)
        said, has_content = self._chat_delta(fields, choice) if self._is_chat else self._text(fields, choice)
        if has_content and choice.reason:
            choice.is_continued = True
        if reason:
            choice.is_continued = False
            choice.reason = later_reason(choice.reason, reason)
            dropped = _CONTENT_FIELDS if has_content else ()
            choice.ending = {name: value for name, value in fields.items() if name not in dropped}
            choice.extra = {name: value for name, value in chunk.items() if name not in _CHUNK_FIELDS}
            fields = {name: value for name, value in fields.items() if name not in _ENDING_FIELDS}
        if not has_content and choice.reason and choice.started:
            return None
        choice.started = True
        return {**fields, "index": _number(index), "finish_reason": NULL, **said}

    def _is_surplus(self, fields: Fields, index: int, reason: str) -> bool:
        """Report whether this is an empty choice that was not asked for: some workers fill up a list."""
        if index in self._choices or len(self._choices) < self._request.expected_choices or reason:
            return False
        return all(is_empty(fields.get(name)) for name in ("delta", "message", "text"))

    def _text(self, fields: Fields, choice: _Choice) -> tuple[Fields, bool]:
        text = completion_text_of(fields) or _EMPTY
        fields.pop("delta", None)
        fields.pop("message", None)
        choice.text_size += _text_size(text)
        self.text_bytes += _text_size(text)
        return {"text": text}, bytes(text) != b'""'

    def _chat_delta(self, fields: Fields, choice: _Choice) -> tuple[Fields, bool]:
        """Return the delta to pass on, and whether it says anything."""
        delta, is_message = delta_of(fields)
        fields.pop("message", None)
        delta.pop("role", None)
        if "content" in delta:
            delta["content"] = content_of(delta["content"])
        raw_calls = delta.pop("tool_calls", NULL)
        text_size = _delta_size(delta)
        if is_message and text_size and text_size == choice.text_size:
            # The message in the last chunk repeats what the deltas said.
            delta, text_size = {}, 0
        if is_message and choice.has_tool_calls:
            raw_calls = NULL
        choice.text_size += text_size
        self.text_bytes += text_size
        calls = self._assembled(raw_calls, choice)
        if calls:
            delta["tool_calls"] = openai.join_objects(calls)
            self.text_bytes += len(bytes(delta["tool_calls"]))
        has_content = any(not is_empty(value) for value in delta.values())
        first = {} if choice.started else {"role": _ROLE, "content": _EMPTY}
        return {"delta": Raw(openai.encode(first | delta))}, has_content

    def _assembled(self, raw_calls: Raw, choice: _Choice) -> list[Fields]:
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


def _text_size(text: Raw | UnsetType) -> int:
    return 0 if text is UNSET or bytes(text) == b"null" else len(bytes(text)) - 2


def _delta_size(delta: Fields) -> int:
    """Return the bytes of text in a delta, counting the two names of the reasoning once."""
    sizes = {name: max(0, _text_size(value)) for name, value in delta.items()}
    twice = min(sizes.get("reasoning", 0), sizes.get("reasoning_content", 0))
    return sum(sizes.values()) - twice


def _number(number: int) -> Raw:
    return Raw(str(number).encode())
