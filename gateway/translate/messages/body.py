"""Describe the body of a Messages request, as far as it is translated; msgspec ignores all other fields.

Source: Anthropic's "Messages" reference and the types of anthropic-python 2.14.
"""

import msgspec
from msgspec import Raw

from gateway.wire.openai import NULL


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one content part of any type. What only some types have stays raw: hosted tools use other types."""

    type: str
    text: str | None = None
    thinking: str | None = None
    source: Raw = NULL
    title: str | None = None
    context: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = NULL
    tool_use_id: str | None = None
    content: Raw = NULL
    is_error: bool | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Represent where the content of an image or a document is. The data of images is not decoded."""

    type: str
    media_type: str = ""
    data: Raw = NULL
    url: str | None = None
    content: str | list[Part] | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one message."""

    role: str
    content: str | list[Part]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a declared tool; one that Anthropic hosts or trained its models on has no schema."""

    name: str = ""
    description: str | None = None
    input_schema: dict[str, Raw] | None = None
    strict: bool | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Represent which tools may or must be called."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """Represent whether the model is to think: `enabled`, `adaptive` or `disabled`."""

    type: str


class OutputFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the form that the answer must have."""

    type: str
    schema: Raw = NULL


class OutputConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Represent how much effort the model spends, and the form of its answer."""

    effort: str | None = None
    format: OutputFormat | None = None


class MessagesBody(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the body of a request."""

    model: str
    messages: list[Message]
    max_tokens: int | None = None
    stream: bool | None = None
    system: str | list[Part] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    stop_sequences: list[str] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    """Older place of `output_config.format`."""


decode_body = msgspec.json.Decoder(MessagesBody).decode
decode_parts = msgspec.json.Decoder(str | list[Part] | None).decode
decode_source = msgspec.json.Decoder(Source).decode
decode_text = msgspec.json.Decoder(str).decode
