import json

from msgspec import Raw

from gateway.translate.messages.events import (
    PING,
    TEXT,
    THINKING,
    TOOL_USE,
    BlockDelta,
    BlockStart,
    BlockStop,
    delta_edges,
    encode_block_event,
    message_end,
    message_start,
)
from tests.translate.messages.shapes import read_events

ODD = 'naïve "quoted" \\ \u2028 🙂\n'


def test_each_event_is_named_by_its_type() -> None:
    block = {"type": "text", "text": ""}
    assert read_events(encode_block_event(BlockStart(2, block))) == [
        {"type": "content_block_start", "index": 2, "content_block": block}
    ]
    assert read_events(message_start({"id": "msg_1"})) == [{"type": "message_start", "message": {"id": "msg_1"}}]
    assert read_events(message_end({"stop_reason": "end_turn"}, {"output_tokens": 1})) == [
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    assert read_events(PING) == [{"type": "ping"}]


def test_a_delta_is_named_by_the_kind_of_its_block() -> None:
    for kind, name, field in (
        (TEXT, "text_delta", "text"),
        (THINKING, "thinking_delta", "thinking"),
        (TOOL_USE, "input_json_delta", "partial_json"),
    ):
        data = encode_block_event(BlockDelta(3, kind, Raw(json.dumps(ODD).encode())))
        assert read_events(data) == [{"type": "content_block_delta", "index": 3, "delta": {"type": name, field: ODD}}]
        before, after = delta_edges(3, kind)
        assert data == before + json.dumps(ODD).encode()[1:-1] + after


def test_thinking_is_signed_before_it_ends() -> None:
    assert [event["type"] for event in read_events(encode_block_event(BlockStop(0, TEXT)))] == ["content_block_stop"]
    signed, stop = read_events(encode_block_event(BlockStop(0, THINKING)))
    assert signed["delta"] == {"type": "signature_delta", "signature": "fairpod"}
    assert stop["type"] == "content_block_stop"
