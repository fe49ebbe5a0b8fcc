"""Encode the events of a Messages stream. Anthropic's SDKs read the kind of an event from its `event:` line."""

from typing import Any

import msgspec
from msgspec import Raw

from gateway.wire import openai

JsonObject = dict[str, Any]
TEXT, THINKING, TOOL_USE = "text", "thinking", "tool_use"


class BlockStart(msgspec.Struct, frozen=True):
    """Begin a content block."""

    index: int
    block: JsonObject


class BlockDelta(msgspec.Struct, frozen=True):
    """Continue the open block."""

    index: int
    kind: str
    """Type of the block."""
    text: Raw
    """JSON string."""


class BlockStop(msgspec.Struct, frozen=True):
    """End the open block."""

    index: int
    kind: str


BlockEvent = BlockStart | BlockDelta | BlockStop
_DELTAS = {
    TEXT: (b"text_delta", b"text"),
    THINKING: (b"thinking_delta", b"thinking"),
    TOOL_USE: (b"input_json_delta", b"partial_json"),
}
SIGNATURE = "fairpod"
"""Signature of thinking blocks: clients drop the thinking of earlier turns if it has none, and nobody verifies it."""


def encode_named(name: bytes, data: bytes) -> bytes:
    """Encode an event with its name."""
    return b"event: " + name + b"\ndata: " + data + b"\n\n"


PING = encode_named(b"ping", b'{"type":"ping"}')


def delta_edges(index: int, kind: str) -> tuple[bytes, bytes]:
    """Return the bytes of a delta's event around the content of its JSON string."""
    name, field = _DELTAS[kind]
    head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":"'
    return head % (index, name, field), b'"}}\n\n'


def encode_block_event(event: BlockEvent) -> bytes:
    """Encode one event of a content block; the end of a thinking block has its signature before it."""
    if isinstance(event, BlockDelta):
        before, after = delta_edges(event.index, event.kind)
        return b"".join((before, memoryview(event.text)[1:-1], after))
    if isinstance(event, BlockStart):
        data = {"type": "content_block_start", "index": event.index, "content_block": event.block}
        return encode_named(b"content_block_start", openai.encode(data))
    stop = encode_named(b"content_block_stop", openai.encode({"type": "content_block_stop", "index": event.index}))
    if event.kind != THINKING:
        return stop
    signed = {"type": "signature_delta", "signature": SIGNATURE}
    data = {"type": "content_block_delta", "index": event.index, "delta": signed}
    return encode_named(b"content_block_delta", openai.encode(data)) + stop


def message_start(message: JsonObject) -> bytes:
    """Encode the first event: a message without content."""
    return encode_named(b"message_start", openai.encode({"type": "message_start", "message": message}))


def message_end(stop: JsonObject, usage: JsonObject) -> bytes:
    """Encode the last two events: why the message ended and what it used, and the mark of its end."""
    data = {"type": "message_delta", "delta": stop, "usage": usage}
    last = encode_named(b"message_stop", b'{"type":"message_stop"}')
    return encode_named(b"message_delta", openai.encode(data)) + last
