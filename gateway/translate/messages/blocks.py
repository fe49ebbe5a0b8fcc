"""Put the parts of an answer into content blocks, of which only one is open at a time.

Workers may send the arguments of several tool calls in turns. Anthropic's stream cannot: so what belongs to another
block waits while the open one is a tool call with incomplete arguments. Texts and thoughts need no end of their own;
the next block ends them.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.messages.arguments import Arguments
from gateway.translate.messages.events import (
    TEXT,
    THINKING,
    TOOL_USE,
    BlockDelta,
    BlockEvent,
    BlockStart,
    BlockStop,
)
from gateway.wire import openai

JsonObject = dict[str, Any]
HELD_BYTES_MAX = 4 * 1024 * 1024
"""Maximum bytes of parts that wait for the end of the open tool call."""
_HEADS: dict[str, JsonObject] = {
    TEXT: {"type": TEXT, "text": ""},
    THINKING: {"type": THINKING, "thinking": "", "signature": ""},
}


class _Block(msgspec.Struct, eq=False):
    """Represent a block that is open or waits."""

    kind: str
    head: JsonObject
    call: int | None = None
    """Number of the tool call; None for any other block."""
    arguments: Arguments | None = None
    held: list[Raw] = msgspec.field(default_factory=list)
    """Parts that are not written yet."""

    @property
    def is_done(self) -> bool:
        """Return True if another block may follow."""
        return self.arguments is None or self.arguments.is_complete


class BlockSequence:
    """Put parts into blocks, and return the events of the blocks."""

    def __init__(self) -> None:
        self.has_tools = False
        """True if a tool was called."""
        self._open: _Block | None = None
        self._index = -1
        self._waiting: deque[_Block] = deque()
        self._waiting_bytes = 0
        self._calls: dict[int, _Block] = {}

    @property
    def text_index(self) -> int | None:
        """Return the index of the open block if it is a text, which the next text continues; None otherwise."""
        return self._index if self._open is not None and self._open.kind == TEXT else None

    def add(self, kind: str, text: Raw) -> list[BlockEvent]:
        """Add a text or a thought, a JSON string; an empty one begins no block.

        Raises:
            OutputLostError: Too much waits for the end of a tool call.
        """
        if len(bytes(text)) <= len(b'""'):
            return []
        last = self._waiting[-1] if self._waiting else self._open
        if last is None or last.kind != kind:
            last = self._begin(_Block(kind, _HEADS[kind]))
        self._hold(last, text)
        return list(self._advance())

    def begin_call(self, number: int, *, call_id: str, name: str) -> list[BlockEvent]:
        """Begin a tool call; it has arguments even if none follow."""
        head = {"type": TOOL_USE, "id": call_id, "name": name, "input": {}}
        self._calls[number] = self._begin(_Block(TOOL_USE, head, number, Arguments()))
        self.has_tools = True
        return list(self._advance())

    def add_arguments(self, number: int, piece: str) -> list[BlockEvent]:
        """Continue the arguments of a tool call.

        Raises:
            OutputLostError: They are not an object, or continue after its end, or too much waits.
        """
        block = self._calls.get(number)
        if block is None or block.arguments is None:
            if not piece.strip():
                return []
            raise OutputLostError("The worker continued a tool call after its end.")
        if written := block.arguments.add(piece):
            self._hold(block, Raw(openai.encode(written)))
        return list(self._advance())

    def end(self, *, is_cut: bool) -> list[BlockEvent]:
        """End all blocks; `is_cut` says that the maximum of tokens may have cut the last one.

        Raises:
            OutputLostError: The arguments of a call are not a JSON object.
        """
        events: list[BlockEvent] = []
        while (block := self._open) is not None:
            events += self._close(block, is_cut=is_cut)
            events += self._advance()
        return events

    def _begin(self, block: _Block) -> _Block:
        self._waiting.append(block)
        return block

    def _hold(self, block: _Block, text: Raw) -> None:
        block.held.append(text)
        if block is not self._open:
            self._waiting_bytes += len(bytes(text))
            if self._waiting_bytes > HELD_BYTES_MAX:
                raise OutputLostError(f"More than {HELD_BYTES_MAX} bytes wait for the end of a tool call.")

    def _advance(self) -> Iterator[BlockEvent]:
        """Write what the open block holds; if it is done and others wait, end it and open the next."""
        while True:
            if (block := self._open) is not None:
                yield from (BlockDelta(self._index, block.kind, text) for text in block.held)
                block.held = []
                if not (block.is_done and self._waiting):
                    return
                yield from self._close(block, is_cut=False)
            if not self._waiting:
                return
            self._open = self._waiting.popleft()
            self._waiting_bytes -= sum(len(bytes(text)) for text in self._open.held)
            self._index += 1
            yield BlockStart(self._index, self._open.head)

    def _close(self, block: _Block, *, is_cut: bool) -> Iterator[BlockEvent]:
        self._open = None
        if block.arguments is not None and block.call is not None:
            del self._calls[block.call]
            if rest := block.arguments.end(is_cut=is_cut):
                yield BlockDelta(self._index, block.kind, Raw(openai.encode(rest)))
        yield BlockStop(self._index, block.kind)
