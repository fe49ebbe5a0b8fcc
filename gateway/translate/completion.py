"""Build complete answers: fold them from chunks, split them into chunks, and add the fields that clients require."""

from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Raw

from gateway.domain import Usage
from gateway.errors import OutputLostError
from gateway.translate.choice_content import (
    completion_text_of,
    content_of,
    delta_size,
    message_of,
    raise_choice_error,
    read_choices,
)
from gateway.translate.choices import ChoiceNormalizer
from gateway.translate.finish_reasons import CONTENT_FILTER, missing_reason, read_finish_reason
from gateway.translate.request import ClientRequest
from gateway.translate.tool_calls import complete_tool_calls
from gateway.translate.usage import usage_fields
from gateway.wire import openai
from gateway.wire.lenient import integer_of, is_empty, is_object
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, Fields

JsonObject = dict[str, Any]
_NO_COMPLETION = "The worker's answer is not a completion."
_NO_CONTENT = "The worker sent a choice without content."
_CONTENT = frozenset({"message", "delta", "text"})
_METADATA = frozenset(
    {"name", "type", "id", "severity", "signature", "thought_signature", "provider", "format", "content_type", "status"}
)
"""Fields that some workers repeat unchanged in each chunk."""
_NOT_MERGED = frozenset({"role", "index", "type", "finish_reason"})


class CompletionFold:
    """Fold the chunks of a stream into one completion.

    Strings and lists are concatenated, objects are merged, anything else is replaced. Unknown fields, such as
    `token_ids`, are therefore complete. Metadata such as names, ratings and signatures is not concatenated if it is
    repeated.
    """

    def __init__(self, request: ClientRequest, *, answer_id: str) -> None:
        self._normalizer = ChoiceNormalizer(request, answer_id=answer_id)
        self._fields: Fields = {}
        self._choices: dict[int, JsonObject] = {}

    def add(self, chunk: Fields) -> None:
        """Fold the next chunk.

        Raises:
            OutputLostError: The chunk is malformed.
            JobFailedError: The worker gave up on the answer.
        """
        if (choices := self._normalizer.add(chunk)) is not None:
            for choice in msgspec.json.decode(choices, type=list[JsonObject]):
                self._fold(choice)
        self._fields.update({name: value for name, value in chunk.items() if bytes(value) != b"null"})

    @property
    def is_whole(self) -> bool:
        """Return True if every requested choice has its finish reason."""
        return self._normalizer.is_whole

    @property
    def has_started(self) -> bool:
        """Return True if a choice has begun."""
        return self._normalizer.has_started

    @property
    def text_bytes(self) -> int:
        """Return the bytes of text so far."""
        return self._normalizer.text_bytes

    @property
    def parts(self) -> int:
        """Return the number of parts in which the text came."""
        return self._normalizer.parts

    @property
    def usage(self) -> Raw | None:
        """Return the worker's last token counts."""
        return self._fields.get("usage")

    def completion(self) -> Fields:
        """Close the choices and return the completion.

        Raises:
            OutputLostError: A choice is missing, or was cut short.
        """
        for closing in self._normalizer.end():
            self._fold(msgspec.json.decode(openai.encode(closing.choice), type=JsonObject))
        choices = [_as_message(choice) for _, choice in sorted(self._choices.items())]
        return {**self._fields, "choices": Raw(openai.encode(choices))}

    def _fold(self, choice: JsonObject) -> None:
        index = choice["index"]
        _merge(self._choices.setdefault(index, {"index": index}), choice)


def _merge(into: JsonObject, part: JsonObject) -> None:
    for name, value in part.items():
        known = into.get(name)
        if value is None or known is None:
            into[name] = known if value is None else _settled(name, value)
        elif name == "tool_calls":
            _merge_tool_calls(known, value)
        elif isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        elif name not in _NOT_MERGED and isinstance(known, str) and isinstance(value, str):
            into[name] = known if value == known and name in _METADATA else known + value
        elif isinstance(known, list) and isinstance(value, list):
            into[name] = [*known, *value]
        else:
            into[name] = value


def _settled(name: str, value: Any) -> Any:
    """Return a field's first value, with its tool calls in the merged form."""
    if name == "tool_calls":
        calls: list[JsonObject] = []
        _merge_tool_calls(calls, value)
        return calls
    if name == "delta":
        delta: JsonObject = {}
        _merge(delta, value)
        return delta
    return value


def _merge_tool_calls(calls: list[JsonObject], parts: list[JsonObject]) -> None:
    for part in parts:
        known = next((call for call in calls if call["index"] == part["index"]), None)
        if known is None:
            calls.append(dict(part))
        else:
            _merge(known, part)


def _as_message(choice: JsonObject) -> JsonObject:
    """Convert a folded choice to a completion's choice: its delta becomes the message."""
    if "delta" not in choice:
        return choice
    message = {"role": "assistant", "content": None, **(choice["delta"] or {})}
    if calls := message.get("tool_calls"):
        # Calls that waited for an id come last in the list.
        calls.sort(key=itemgetter("index"))
        message["tool_calls"] = [{name: value for name, value in call.items() if name != "index"} for call in calls]
        message["content"] = message["content"] or None
    return {**{name: value for name, value in choice.items() if name != "delta"}, "message": message}


def split_completion(whole: Fields) -> list[Fields]:
    """Split a complete answer to a streaming request into chunks, one for each choice.

    Raises:
        OutputLostError: The answer holds no choices.
    """
    rest = {name: value for name, value in whole.items() if name != "choices"}
    chunks: list[Fields] = []
    for position, choice in enumerate(_choices(whole)):
        if integer_of(choice.get("index")) is None:
            choice["index"] = Raw(str(position).encode())
        chunks.append({**rest, "choices": openai.join_objects([choice])})
    return chunks


def finish_completion(whole: Fields, request: ClientRequest, *, answer_id: str, created_s: int, usage: Usage) -> bytes:
    """Return the answer's JSON, with every field that OpenAI's description requires and all of the worker's own fields.

    Raises:
        OutputLostError: There are fewer choices than requested, or the value is not a completion.
        JobFailedError: The worker gave up on the answer.
    """
    try:
        choices = _finish_choices(_choices(whole), request, answer_id)
    except MALFORMED:
        raise OutputLostError(_NO_COMPLETION) from None
    if len(choices) < request.expected_choices:
        raise OutputLostError(f"The worker returned {len(choices)} of {request.expected_choices} choices.")
    given = msgspec.json.decode(whole["usage"], type=JsonObject) if is_object(whole.get("usage")) else {}
    own = {
        "id": answer_id,
        "object": "chat.completion" if request.api.is_chat else "text_completion",
        "created": created_s,
        "model": request.model,
        "choices": choices,
        "usage": {**given, **usage_fields(usage)},
    }
    return openai.encode(own | {name: value for name, value in whole.items() if name not in own})


def text_bytes(whole: Fields) -> int:
    """Return the bytes of text in an answer, including reasoning and tool calls, for an estimate of tokens."""
    try:
        return sum(map(_choice_bytes, _choices(whole)))
    except (*MALFORMED, OutputLostError):
        return 0


def _choice_bytes(choice: Fields) -> int:
    message = message_of(choice) or {}
    message.pop("role", None)
    calls = message.pop("tool_calls", NULL)
    return delta_size(message) + (0 if is_empty(calls) else len(bytes(calls)))


def _choices(whole: Fields) -> list[Fields]:
    try:
        choices = read_choices(whole.get("choices", NULL))
    except MALFORMED:
        choices = []
    if not choices:
        raise OutputLostError(_NO_COMPLETION)
    return choices


def _finish_choices(choices: list[Fields], request: ClientRequest, answer_id: str) -> list[Fields]:
    """Give every choice the fields that clients read, and a unique index.

    Raises:
        OutputLostError: A choice has no finish reason although another one has, or it has no content.
        JobFailedError: The worker gave up on a choice.
    """
    reasons = _finish_reasons(choices)
    indexes = _unique_indexes(choices, request)
    call_ids = answer_id.rpartition("-")[2][:20]
    return [
        _finish_choice(choice, reason, index, is_chat=request.api.is_chat, id_prefix=f"{call_ids}{number:02x}")
        for number, (choice, reason, index) in enumerate(zip(choices, reasons, indexes, strict=True))
    ]


def _finish_reasons(choices: list[Fields]) -> list[str]:
    """Return the finish reason of each choice, or an empty string for each if the worker sends none at all."""
    for choice in choices:
        raise_choice_error(choice)
    reasons = [read_finish_reason(choice.get("finish_reason")) for choice in choices]
    if any(reasons) and not all(reasons):
        raise OutputLostError("The worker's answer is incomplete: a choice has no finish reason.")
    return reasons


def _unique_indexes(choices: list[Fields], request: ClientRequest) -> list[int]:
    """Return the worker's indexes if they identify the choices; otherwise, or for an only choice, their positions."""
    positions = list(range(len(choices)))
    if len(choices) == request.expected_choices == 1:
        return positions
    sent = [index for each in choices if (index := integer_of(each.get("index"))) is not None and index >= 0]
    return sent if len(set(sent)) == len(choices) else positions


def _finish_choice(choice: Fields, reason: str, index: int, *, is_chat: bool, id_prefix: str) -> Fields:
    """Return a choice with all its fields; `id_prefix` begins the ids of tool calls that the worker sent without."""
    if is_chat:
        message = _finish_message(choice, reason, id_prefix=id_prefix)
        content: Fields = {"message": Raw(openai.encode(message))}
        has_tool_calls = "tool_calls" in message
    else:
        content, has_tool_calls = {"text": _finish_text(choice, reason)}, False
    return {
        "logprobs": NULL,
        **{name: value for name, value in choice.items() if name not in _CONTENT},
        **content,
        "index": Raw(openai.encode(index)),
        "finish_reason": Raw(openai.encode(reason or missing_reason(has_tool_calls=has_tool_calls))),
    }


def _finish_message(choice: Fields, reason: str, *, id_prefix: str) -> Fields:
    message = message_of(choice)
    if message is None:
        _refuse_unless_filtered(reason)
        message = {}
    message["content"] = content_of(message.get("content"))
    calls = message.pop("tool_calls", NULL)
    if not is_empty(calls) and (completed := complete_tool_calls(calls, id_prefix=id_prefix)):
        message["tool_calls"] = openai.join_objects(completed)
    return {"refusal": NULL, **message, "role": Raw(b'"assistant"')}


def _finish_text(choice: Fields, reason: str) -> Raw:
    text = completion_text_of(choice)
    if text is None:
        _refuse_unless_filtered(reason)
    return text or Raw(b'""')


def _refuse_unless_filtered(reason: str) -> None:
    """Reject a choice without content unless it was filtered: Azure's filter leaves none.

    Source: Azure OpenAI, content filtering.
    """
    if reason != CONTENT_FILTER:
        raise OutputLostError(_NO_CONTENT)
