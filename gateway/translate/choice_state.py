"""What is known of one choice of a worker's answer while its chunks are read."""

import msgspec
from msgspec import Raw

from gateway.translate.finish_reasons import later_reason
from gateway.translate.tool_calls import ToolCallAssembler
from gateway.wire import openai
from gateway.wire.lenient import is_null
from gateway.wire.openai import Fields

REASONING = frozenset({"reasoning", "reasoning_content"})
"""Two names of one field."""
CHUNK_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_CONTENT_FIELDS = frozenset({"logprobs", "token_ids"})
"""Fields that go with the text."""


class ChoiceState(msgspec.Struct, eq=False):
    """What was seen of one choice."""

    started: bool = False
    has_body: bool = False
    """Whether it had a delta, a message or a text, if only an empty one."""
    text_size: int = 0
    """How many bytes of text were passed on, without the tool calls."""
    streamed: set[str] = msgspec.field(default_factory=set)
    """The fields of its deltas that had content."""
    message_text: str = ""
    """The content of its messages so far."""
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
        """Report whether a tool call was begun."""
        return self.tool_calls is not None and self.tool_calls.has_calls

    @property
    def has_content(self) -> bool:
        """Report whether it said anything."""
        return self.text_size > 0 or self.has_tool_calls

    @property
    def is_complete(self) -> bool:
        """Report whether it has a finish reason, and no content came after it."""
        return bool(self.reason) and not self.is_continued

    def close(self, reason: str, fields: Fields, chunk: Fields, *, has_content: bool) -> None:
        """Note a finish reason, and what came with it."""
        self.is_continued = False
        self.reason = later_reason(self.reason, reason)
        dropped = _CONTENT_FIELDS if has_content else ()
        self.ending = {name: value for name, value in fields.items() if name not in dropped}
        self.extra = {name: value for name, value in chunk.items() if name not in CHUNK_FIELDS}

    def unsaid(self, message: Fields, *, is_last: bool) -> Fields:
        """Return what a message adds to the choice so far.

        A message beside deltas, or at the end of them, repeats them. Where there are no deltas, each message goes on
        with those before it, unless it begins with all of them.

        Raises:
            msgspec.DecodeError: Its content cannot be read.
        """
        known = self.streamed | (REASONING if self.streamed & REASONING else set())
        message = {name: value for name, value in message.items() if name not in known}
        if is_null(message.get("content")):
            return message
        content, before = openai.decode_string(message["content"]), self.message_text
        if before and content.startswith(before) and (is_last or len(content) > len(before)):
            self.message_text = content
            return {"content": Raw(openai.encode(content[len(before) :]))}
        self.message_text = before + content
        return message
