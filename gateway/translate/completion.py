"""Answers in one piece: folded from chunks, split into chunks, and given the fields that clients require."""

from typing import Any

import msgspec
from msgspec import Raw

from gateway.domain import Api, Usage
from gateway.errors import JobFailedError, OutputLostError
from gateway.translate.request import ClientRequest
from gateway.translate.tool_calls import mend_tool_call
from gateway.translate.usage import usage_fields
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, Fields

JsonObject = dict[str, Any]
_OBJECTS = {Api.CHAT_COMPLETIONS: "chat.completion", Api.COMPLETIONS: "text_completion"}
_BROKEN_FINISH = frozenset({"abort", "error"})
_NO_COMPLETION = "The worker sent something that is not a completion."
_decode_text = msgspec.json.Decoder(str | None).decode
_decode_index = msgspec.json.Decoder(int | None).decode
_NOT_MERGED = frozenset({"role", "index", "type", "finish_reason"})


class CompletionFold:
    """Folds the chunks of a stream into one completion.

    Strings and lists grow, objects merge, anything else is replaced: so fields that nobody here knows, such as
    `reasoning` or `token_ids`, come out whole.
    """

    def __init__(self) -> None:
        self._fields: Fields = {}
        self._choices: dict[int, JsonObject] = {}
        self._tool_call_ids: dict[int, dict[int, bytes]] = {}

    def add(self, chunk: Fields) -> None:
        """Take the next chunk.

        Raises:
            OutputLostError: It is malformed.
        """
        try:
            choices = msgspec.json.decode(chunk.get("choices", b"[]"), type=list[JsonObject] | None)
        except MALFORMED:
            raise OutputLostError("The worker sent a chunk that is not OpenAI's.") from None
        for choice in choices or ():
            index = choice.get("index") or 0
            _mend_tool_calls(choice.get("delta") or {}, self._tool_call_ids.setdefault(index, {}))
            _merge(self._choices.setdefault(index, {"index": index}), choice)
        self._fields.update({name: value for name, value in chunk.items() if bytes(value) != b"null"})

    @property
    def is_whole(self) -> bool:
        """Whether every choice that was begun has its finish reason."""
        return bool(self._choices) and all(choice.get("finish_reason") for choice in self._choices.values())

    def completion(self) -> Fields | None:
        """The completion so far; None where no choice was begun."""
        if not self._choices:
            return None
        choices = [_as_message(choice) for _, choice in sorted(self._choices.items())]
        return {**self._fields, "choices": Raw(openai.encode(choices))}


def _mend_tool_calls(delta: JsonObject, ids: dict[int, bytes]) -> None:
    """The same rules as in a stream: what belongs to which call is decided in one place."""
    if calls := delta.get("tool_calls"):
        parts = [mend_tool_call(call, ids) for call in openai.decode_objects(openai.encode(calls))]
        delta["tool_calls"] = msgspec.json.decode(openai.encode(parts))


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
            into[name] = known + value
        elif isinstance(known, list) and isinstance(value, list):
            into[name] = [*known, *value]
        else:
            into[name] = value


def _settled(name: str, value: Any) -> Any:
    """A first value, with its tool calls in the merged form."""
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
    """The choice of a completion: its delta has become the message."""
    if "delta" not in choice:
        return choice
    message = {"role": "assistant", "content": None, **(choice["delta"] or {})}
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [{name: value for name, value in call.items() if name != "index"} for call in calls]
    return {**{name: value for name, value in choice.items() if name != "delta"}, "message": message}


def split_completion(whole: Fields) -> list[Fields]:
    """The chunks of an answer that came in one piece although a stream was asked for.

    Raises:
        OutputLostError: It holds no choices.
    """
    rest = {name: value for name, value in whole.items() if name != "choices"}
    chunks: list[Fields] = []
    for choice in _choices(whole):
        if "message" in choice:
            choice["delta"] = Raw(openai.encode(_as_delta(choice.pop("message"))))
        chunks.append({**rest, "choices": openai.join_objects([choice])})
    return chunks


def _as_delta(message: Raw) -> Fields:
    delta = openai.decode_fields(message)
    if openai.is_present(delta, "tool_calls"):
        calls = openai.decode_objects(delta["tool_calls"])
        numbered = ({"index": Raw(str(index).encode()), **call} for index, call in enumerate(calls))
        delta["tool_calls"] = openai.join_objects(numbered)
    return delta


def finish_completion(whole: Fields, request: ClientRequest, *, answer_id: str, created_s: int, usage: Usage) -> bytes:
    """The answer's JSON, with every field that OpenAI's description requires and everything the worker added.

    Raises:
        OutputLostError: There are fewer choices than were asked for, or something else than an answer.
        JobFailedError: The worker gave up on it.
    """
    try:
        choices = [_finish_choice(choice, request.api, index) for index, choice in enumerate(_choices(whole))]
    except MALFORMED:
        raise OutputLostError(_NO_COMPLETION) from None
    if len(choices) < request.n:
        raise OutputLostError(f"The worker gave {len(choices)} of {request.n} choices.")
    given = msgspec.json.decode(whole["usage"], type=JsonObject) if openai.is_present(whole, "usage") else {}
    own = {
        "id": answer_id,
        "object": _OBJECTS[request.api],
        "created": created_s,
        "model": request.model,
        "choices": choices,
        "usage": {**given, **usage_fields(usage)},
    }
    return openai.encode(own | {name: value for name, value in whole.items() if name not in own})


def _choices(whole: Fields) -> list[Fields]:
    try:
        choices = openai.decode_objects(whole.get("choices", b"[]"))
    except MALFORMED:
        choices = []
    if not choices:
        raise OutputLostError(_NO_COMPLETION)
    return choices


def _finish_choice(choice: Fields, api: Api, index: int) -> Fields:
    reason = _decode_text(choice.get("finish_reason", NULL))
    if reason in _BROKEN_FINISH:
        raise JobFailedError("The worker gave up on this answer.")
    has_tool_calls = False
    if api is Api.CHAT_COMPLETIONS:
        message = openai.decode_fields(choice.get("message", b"{}"))
        _decode_text(message.get("content", NULL))
        has_tool_calls = openai.is_present(message, "tool_calls") and bytes(message["tool_calls"]) != b"[]"
        if not has_tool_calls:
            message.pop("tool_calls", None)
        own = {"role": Raw(b'"assistant"')}
        choice["message"] = Raw(openai.encode({**own, "content": NULL, "refusal": NULL} | message | own))
    else:
        choice["text"] = Raw(openai.encode(_decode_text(choice.get("text", NULL)) or ""))
    if not reason:
        choice["finish_reason"] = Raw(b'"tool_calls"' if has_tool_calls else b'"stop"')
    if _decode_index(choice.get("index", NULL)) is None:
        choice["index"] = Raw(openai.encode(index))
    return {"logprobs": NULL} | choice
