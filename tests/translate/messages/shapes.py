"""Chunks of workers, and what a client of Anthropic's makes of the events."""

import json
from typing import Any

from gateway.translate.messages.request import read_messages_request
from gateway.translate.messages.stream import MessageWriter
from gateway.translate.request import ClientRequest
from gateway.wire.openai import encode
from tests.factories import fields_of

SAY = [{"role": "user", "content": "Hello"}]
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def request(**asked: Any) -> ClientRequest:
    """A streamed request; `...` leaves a field out."""
    body = {"model": "m", "max_tokens": 64, "stream": True, "messages": SAY, **asked}
    return read_messages_request(encode({name: value for name, value in body.items() if value is not ...}))


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk with one choice; `more` are fields beside the delta."""
    more = delta.pop("more", {})
    return {"id": "w", "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def call(number: int, arguments: str = "", **head: Any) -> dict[str, Any]:
    """A chunk with a fragment of a tool call; the first has id and name."""
    named = {"id": head["id"], "type": "function"} if "id" in head else {}
    function = {"arguments": arguments, **({"name": head["name"]} if "name" in head else {})}
    return chunk(tool_calls=[{"index": number, **named, "function": function}])


def usage_chunk(**usage: Any) -> dict[str, Any]:
    return {"id": "w", "choices": [], "usage": {**USAGE, **usage}}


def written(*chunks: dict[str, Any], asked: ClientRequest | None = None) -> list[dict[str, Any]]:
    """The events of a whole stream."""
    writer = MessageWriter(asked or request(), answer_id="msg-1", created_s=1)
    data = b"".join(writer.write(fields_of(each)) for each in chunks) + writer.end()
    return read_events(data)


def read_events(data: bytes) -> list[dict[str, Any]]:
    """Parse events as the SDKs do: each has a name, which is its type."""
    *blocks, rest = data.decode().split("\n\n")
    assert rest == ""
    events = []
    for block in blocks:
        name, _, body = block.partition("\n")
        event = json.loads(body.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def message_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Fold events into a message by the rules that the SDKs rely on, and check that they hold."""
    events = [event for event in events if event["type"] != "ping"]
    assert events[0]["type"] == "message_start"
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    message, open_block, partial = events[0]["message"], None, ""
    assert message["content"] == []
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert open_block is None
                assert event["index"] == len(message["content"])
                open_block, partial = event["content_block"], ""
                message["content"].append(open_block)
            case "content_block_delta":
                assert event["index"] == len(message["content"]) - 1
                delta = event["delta"]
                match delta["type"], open_block["type"]:
                    case "text_delta", "text":
                        assert delta["text"]
                        open_block["text"] += delta["text"]
                    case "thinking_delta", "thinking":
                        assert delta["thinking"]
                        open_block["thinking"] += delta["thinking"]
                    case "signature_delta", "thinking":
                        open_block["signature"] = delta["signature"]
                    case "input_json_delta", "tool_use":
                        assert delta["partial_json"]
                        partial += delta["partial_json"]
                    case other:
                        raise AssertionError(other)
            case "content_block_stop":
                assert event["index"] == len(message["content"]) - 1
                if open_block["type"] == "tool_use":
                    assert partial
                    open_block["input"] = _object(partial)
                open_block = None
            case other:
                raise AssertionError(other)
    assert open_block is None
    return {**message, **events[-2]["delta"], "usage": {**message["usage"], **events[-2]["usage"]}}


def _object(partial: str) -> Any:
    try:
        return json.loads(partial)
    except json.JSONDecodeError:
        return {}
