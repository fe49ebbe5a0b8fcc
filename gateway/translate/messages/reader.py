"""Read what a worker says into the content blocks of a message: deltas, or a whole message, by the same rules.

Both are in OpenAI's normalized form: tool calls have ids, and there is one finish reason.
"""

import msgspec
from msgspec import Raw

from gateway.translate.finish_reasons import CONTENT_FILTER, LENGTH
from gateway.translate.messages.blocks import BlockSequence
from gateway.translate.messages.ending import JsonObject, stop_fields
from gateway.translate.messages.events import TEXT, THINKING, BlockEvent
from gateway.translate.messages.request import stop_sequences
from gateway.translate.request import ClientRequest
from gateway.wire import openai
from gateway.wire.lenient import is_empty
from gateway.wire.openai import Fields


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str = ""


class _Call(msgspec.Struct):
    """Represent a tool call, or a fragment of one as `ToolCallAssembler` writes it: the first one has id and name."""

    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


_decode_calls = msgspec.json.Decoder(list[_Call]).decode


class MessageReader:
    """Read what one answer says."""

    def __init__(self, request: ClientRequest) -> None:
        self.blocks = BlockSequence()
        self._request = request
        self._is_refused = False

    def read(self, said: Fields) -> list[BlockEvent]:
        """Read a delta or a whole message; return the events of its content.

        Raises:
            OutputLostError: A tool call cannot be read.
        """
        blocks, events = self.blocks, list[BlockEvent]()
        # Workers that send both names of the reasoning send the same text.
        if thought := _string(said.get("reasoning")) or _string(said.get("reasoning_content")):
            events += blocks.add(THINKING, thought)
        if text := _string(said.get("content")):
            events += blocks.add(TEXT, text)
        if refusal := _string(said.get("refusal")):
            self._is_refused = True
            events += blocks.add(TEXT, refusal)
        calls = said.get("tool_calls")
        if calls is not None and not is_empty(calls):
            for position, call in enumerate(_decode_calls(calls)):
                events += self._call_events(call, position if call.index is None else call.index)
        return events

    def end(self, choice: Fields) -> tuple[list[BlockEvent], JsonObject]:
        """End the message with the choice that has the finish reason.

        Returns:
            The last events of its content, and the fields that say why it ended.

        Raises:
            OutputLostError: A tool call's arguments are not an object.
        """
        reason = openai.decode_string(choice["finish_reason"])
        if self._is_refused and reason != LENGTH:
            reason = CONTENT_FILTER
        events = self.blocks.end(is_cut=reason == LENGTH)
        stopped_at = choice.get("stop_reason", choice.get("matched_stop"))
        has_tools, sequences = self.blocks.has_tools, stop_sequences(self._request)
        return events, stop_fields(reason, stopped_at, has_tools=has_tools, sequences=sequences)

    def _call_events(self, call: _Call, number: int) -> list[BlockEvent]:
        events: list[BlockEvent] = []
        if call.id is not None and call.function.name is not None:
            events += self.blocks.begin_call(number, call_id=call.id, name=call.function.name)
        return events + self.blocks.add_arguments(number, call.function.arguments)


def _string(value: Raw | None) -> Raw | None:
    """Return a JSON string that is not empty; None for anything else."""
    return value if value is not None and bytes(value)[:1] == b'"' and len(bytes(value)) > len(b'""') else None
