"""Track the state of one choice of a worker's answer while its chunks are read."""

import msgspec
from msgspec import Raw

from gateway.translate.finish_reasons import later_reason
from gateway.translate.tool_calls import ToolCallAssembler
from gateway.wire import openai
from gateway.wire.lenient import is_null
from gateway.wire.openai import Fields

REASONING = frozenset({"reasoning", "reasoning_content"})
"""The two names of the reasoning field."""
CHUNK_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_CONTENT_FIELDS = frozenset({"logprobs", "token_ids"})
"""Fields that accompany the text."""


class ChoiceState(msgspec.Struct, eq=False):
    """Track what was received of one choice."""

    started: bool = False
    has_body: bool = False
    """True if it had a delta, a message or a text, even an empty one."""
    text_size: int = 0
    """Bytes of text that were passed on, without tool calls."""
    streamed: set[str] = msgspec.field(default_factory=set)
    """Names of the fields of its deltas that had content."""
    message_text: str = ""
    """Content of its messages so far."""
    reason: str = ""
    is_continued: bool = False
    """True if content came after the last finish reason, which therefore does not mark the end of the choice."""
    ending: Fields = msgspec.field(default_factory=dict)
    """Fields that came with the finish reason."""
    extra: Fields = msgspec.field(default_factory=dict)
    """Other fields of the chunk that carried the finish reason."""
    tool_calls: ToolCallAssembler | None = None

    @property
    def has_tool_calls(self) -> bool:
        """Return True if a tool call was begun."""
        return self.tool_calls is not None and self.tool_calls.has_calls

    @property
    def has_content(self) -> bool:
        """Return True if the choice has text or a tool call."""
        return self.text_size > 0 or self.has_tool_calls

    @property
    def is_complete(self) -> bool:
        """Return True if it has a finish reason and no content came after it."""
        return bool(self.reason) and not self.is_continued

    def close(self, reason: str, fields: Fields, chunk: Fields, *, has_content: bool) -> None:
        """Record a finish reason and the fields that came with it."""
        self.is_continued = False
        self.reason = later_reason(self.reason, reason)
        dropped = _CONTENT_FIELDS if has_content else ()
        self.ending = {name: value for name, value in fields.items() if name not in dropped}
        self.extra = {name: value for name, value in chunk.items() if name not in CHUNK_FIELDS}

    def unsaid(self, message: Fields, *, is_last: bool) -> Fields:
        """Return the part of a message that the choice did not contain yet.

        A message beside deltas, or after them, repeats them. If there are no deltas, each message continues those
        before it, unless it begins with their whole content.

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
