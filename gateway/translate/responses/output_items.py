"""Encode the output items of a response, and the events by which each is opened, extended and closed.

Text stays in JSON's own escapes from the worker to the client: it is neither decoded nor encoded again.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import msgspec
from msgspec import Raw

from gateway.translate.responses.tools import DeclaredTool, unwrap_input
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED

CHECKED_BYTES_MAX = 64 * 1024
"""Size in bytes up to which the arguments of a call are checked for completeness."""
Event = tuple[bytes, bytes]
"""Type of an event without its prefix `response.`, and its fields beyond the type and the number."""
NO_LOGPROBS = b"[]"


class Item(ABC):
    """Represent an output item while it is written; one at a time is."""

    prefix: str
    """First part of its id."""

    def __init__(self, item_id: str, index: int) -> None:
        self.text = bytearray()
        """Its text so far, as the content of a JSON string."""
        self._id = openai.encode(item_id)
        self.place = b'"item_id":%b,"output_index":%d' % (self._id, index)
        self._index = b'"output_index":%d' % index

    def opening(self) -> Iterator[Event]:
        """Give the events that come before its first delta."""
        yield b"output_item.added", b'%b,"item":%b' % (self._index, self.encoded(b"in_progress", is_open=True))

    @abstractmethod
    def delta(self, text: bytes, logprobs: bytes = NO_LOGPROBS) -> Event | None:
        """Add text; return its event, or None if it waits for the end."""

    @abstractmethod
    def closing(self) -> Iterator[Event]:
        """Give the events that complete its text."""

    @abstractmethod
    def encoded(self, status: bytes, *, is_open: bool = False) -> bytes:
        """Return the item with its text so far, or without any if it is just opened."""

    def closed(self, encoded: bytes) -> Event:
        """Return the last event of the item, with its final form."""
        return b"output_item.done", b'%b,"item":%b' % (self._index, encoded)

    @property
    def may_close(self) -> bool:
        """Return True if another item may begin now: a later delta of its kind opens a new one."""
        return True


class _Parted(Item):
    """Represent an item with one content part of text."""

    delta_name: bytes
    done_name: bytes
    text_field = b"text"
    part_type: bytes
    part_more = b""
    delta_more = b""

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self.place += b',"content_index":0'

    def opening(self) -> Iterator[Event]:
        """Give the events that come before its first delta."""
        yield from super().opening()
        yield b"content_part.added", b'%b,"part":%b' % (self.place, self._part(b""))

    def delta(self, text: bytes, logprobs: bytes = NO_LOGPROBS) -> Event:
        """Add text; return its event, or None if it waits for the end."""
        del logprobs
        self.text += text
        return self.delta_name, b'%b,"delta":"%b"%b' % (self.place, text, self.delta_more)

    def closing(self) -> Iterator[Event]:
        """Give the events that complete its text."""
        yield self.done_name, b'%b,"%b":"%b"%b' % (self.place, self.text_field, bytes(self.text), self._done_more())
        yield b"content_part.done", b'%b,"part":%b' % (self.place, self._part(bytes(self.text)))

    def _done_more(self) -> bytes:
        return b""

    def _part(self, text: bytes) -> bytes:
        return b'{"type":"%b","%b":"%b"%b}' % (self.part_type, self.text_field, text, self._part_more(text))

    def _part_more(self, text: bytes) -> bytes:
        del text
        return b""


class Message(_Parted):
    """Represent a message with text."""

    prefix = "msg"
    delta_name, done_name, part_type = b"output_text.delta", b"output_text.done", b"output_text"

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self._logprobs: list[bytes] = []

    def delta(self, text: bytes, logprobs: bytes = NO_LOGPROBS) -> Event:
        """Add text; return its event, or None if it waits for the end."""
        self.text += text
        if logprobs != NO_LOGPROBS:
            self._logprobs.append(logprobs[1:-1])
        return self.delta_name, b'%b,"delta":"%b","logprobs":%b' % (self.place, text, logprobs)

    def _done_more(self) -> bytes:
        return b',"logprobs":[%b]' % b",".join(self._logprobs)

    def _part_more(self, text: bytes) -> bytes:
        return b',"annotations":[],"logprobs":[%b]' % (b",".join(self._logprobs) if text else b"")

    def encoded(self, status: bytes, *, is_open: bool = False) -> bytes:
        """Return the item with its text so far, or without any if it is just opened."""
        content = b"" if is_open else self._part(bytes(self.text))
        form = b'{"id":%b,"type":"message","status":"%b","role":"assistant","content":[%b]}'
        return form % (self._id, status, content)


class Refusal(Message):
    """Represent a message with a refusal."""

    delta_name, done_name, part_type, text_field = b"refusal.delta", b"refusal.done", b"refusal", b"refusal"

    def delta(self, text: bytes, logprobs: bytes = NO_LOGPROBS) -> Event:
        """Add text; return its event, or None if it waits for the end."""
        return _Parted.delta(self, text, logprobs)

    def _done_more(self) -> bytes:
        return b""

    def _part_more(self, text: bytes) -> bytes:
        del text
        return b""


class Reasoning(_Parted):
    """Represent the model's reasoning, which clients may show."""

    prefix = "rs"
    delta_name, done_name, part_type = b"reasoning_text.delta", b"reasoning_text.done", b"reasoning_text"

    def encoded(self, status: bytes, *, is_open: bool = False) -> bytes:
        """Return the item with its text so far, or without any if it is just opened."""
        content = b"" if is_open else self._part(bytes(self.text))
        form = b'{"id":%b,"type":"reasoning","status":"%b","summary":[],"content":[%b],"encrypted_content":null}'
        return form % (self._id, status, content)


class FunctionCall(Item):
    """Represent the call of a function."""

    prefix = "fc"

    def __init__(self, item_id: str, index: int, *, call_id: str, tool: DeclaredTool) -> None:
        super().__init__(item_id, index)
        self._name = openai.encode(tool.name)
        namespace = b"" if tool.namespace is None else b',"namespace":%b' % openai.encode(tool.namespace)
        self._named = b'"call_id":%b,"name":%b%b' % (openai.encode(call_id), self._name, namespace)

    def delta(self, text: bytes, logprobs: bytes = NO_LOGPROBS) -> Event | None:
        """Add text; return its event, or None if it waits for the end."""
        del logprobs
        self.text += text
        return (b"function_call_arguments.delta", b'%b,"delta":"%b"' % (self.place, text)) if text else None

    def closing(self) -> Iterator[Event]:
        """Give the events that complete its text."""
        yield (
            b"function_call_arguments.done",
            b'%b,"name":%b,"arguments":"%b"' % (self.place, self._name, bytes(self.text)),
        )

    def encoded(self, status: bytes, *, is_open: bool = False) -> bytes:
        """Return the item with its text so far, or without any if it is just opened."""
        del is_open
        form = b'{"id":%b,"type":"function_call","status":"%b",%b,"arguments":"%b"}'
        return form % (self._id, status, self._named, bytes(self.text))

    @property
    def may_close(self) -> bool:
        """Return True if its arguments are complete."""
        if len(self.text) > CHECKED_BYTES_MAX or not self.text.rstrip().endswith(b"}"):
            return False
        try:
            msgspec.json.decode(msgspec.json.decode(b'"%b"' % bytes(self.text), type=str), type=dict)
        except (*MALFORMED, UnicodeEncodeError):
            return False
        return True


class CustomCall(FunctionCall):
    """Represent the call of a custom tool, whose input is known only when the arguments that hold it are complete."""

    prefix = "ctc"

    def delta(self, text: bytes, logprobs: bytes = NO_LOGPROBS) -> Event | None:
        """Add text; return its event, or None if it waits for the end."""
        super().delta(text, logprobs)
        return None

    def closing(self) -> Iterator[Event]:
        """Give the events that complete its text."""
        text = self._input()
        yield b"custom_tool_call_input.delta", b'%b,"delta":%b' % (self.place, text)
        yield b"custom_tool_call_input.done", b'%b,"input":%b' % (self.place, text)

    def encoded(self, status: bytes, *, is_open: bool = False) -> bytes:
        """Return the item with its text so far, or without any if it is just opened."""
        text = b'""' if is_open else self._input()
        form = b'{"id":%b,"type":"custom_tool_call","status":"%b",%b,"input":%b}'
        return form % (self._id, status, self._named, text)

    def _input(self) -> bytes:
        arguments = b'"%b"' % bytes(self.text)
        try:
            return openai.encode(unwrap_input(openai.decode_string(arguments)))
        except MALFORMED:
            return arguments


def text_in(raw: Raw | bytes) -> bytes:
    """Return the content of a JSON string with its escapes; empty for any other value."""
    value = bytes(raw)
    return value[1:-1] if value[:1] == b'"' else b""
