"""Build a message: its frame, its content from the events of its blocks, and the body of a whole answer."""

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.domain import Usage
from gateway.translate.completion import finish_completion
from gateway.translate.messages.ending import JsonObject, usage_fields
from gateway.translate.messages.events import SIGNATURE, TEXT, THINKING, BlockDelta, BlockEvent, BlockStart
from gateway.translate.messages.reader import MessageReader
from gateway.translate.request import ClientRequest
from gateway.wire import openai
from gateway.wire.openai import Fields


def message(request: ClientRequest, *, answer_id: str, usage: JsonObject, **more: Any) -> JsonObject:
    """Return a message without content, and with other fields as given."""
    return {
        "id": message_id(answer_id),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
        **more,
    }


def message_id(answer_id: str) -> str:
    """Return the id of a message in Anthropic's form, with an underscore."""
    return answer_id.replace("-", "_", 1)


def folded(events: Iterable[BlockEvent]) -> list[JsonObject]:
    """Fold the events of content blocks into the blocks, as clients do."""
    blocks: list[JsonObject] = []
    parts: list[str] = []
    for event in events:
        match event:
            case BlockStart(block=block):
                blocks.append(dict(block))
                parts = []
            case BlockDelta(text=text):
                parts.append(openai.decode_string(text))
            case _:
                _fill(blocks[-1], "".join(parts))
    return blocks


def _fill(block: JsonObject, text: str) -> None:
    match block["type"]:
        case kind if kind == TEXT:
            block["text"] = text
        case kind if kind == THINKING:
            block |= {"thinking": text, "signature": SIGNATURE}
        case _:
            block["input"] = _object(text)


def _object(text: str) -> JsonObject:
    """Return the input of a call; an empty one if the maximum of tokens cut it."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {}


def finish_message(whole: Fields, request: ClientRequest, *, answer_id: str, created_s: int, usage: Usage) -> bytes:
    """Return the body of a whole answer.

    Raises:
        OutputLostError: The value is not a completion, or is not complete.
        JobFailedError: The worker gave up on the answer.
    """
    completion = finish_completion(whole, request, answer_id=answer_id, created_s=created_s, usage=usage)
    choice = openai.decode_objects(openai.decode_fields(completion)["choices"])[0]
    reader = MessageReader(request)
    events = reader.read(openai.decode_fields(choice["message"]))
    last_events, stop = reader.end(choice)
    content = folded([*events, *last_events])
    counts = usage_fields(usage, whole.get("usage"))
    return openai.encode(message(request, answer_id=answer_id, usage=counts, content=content, **stop))
