"""Translate the messages of Anthropic's API to those of a chat completion.

Chat templates accept one system message, at the start; the results of tools must follow the calls at once; and many
templates refuse two messages of one role in a row, which Anthropic's API merges. So the conversation is read as turns,
and a turn that is continued after a system message is still one turn.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import InvalidRequestError
from gateway.translate.messages.body import Message, Part, Source, decode_parts, decode_source, decode_text
from gateway.wire import openai
from gateway.wire.lenient import is_null, is_object

JsonObject = dict[str, Any]
_PARAGRAPH = "\n\n"
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "ctx": "user", "msg": "user"}
"""Roles of messages and what they become: Claude Code sends `system` in mid-conversation, vLLM's source knows the last
two as its roles for context."""
_BILLING = "x-anthropic-billing-header"
"""Beginning of a system text of Claude Code that changes with each version, and would spoil the cache of prefixes."""
_HOSTED = ("server_tool_use", "mcp_tool_use", "_tool_result", "container_upload")
"""Ends of the types of parts that Anthropic's hosted tools leave in a conversation, except `tool_result` itself."""


def chat_messages(system: str | list[Part] | None, messages: list[Message]) -> list[JsonObject]:
    """Return the messages of the chat completion.

    Raises:
        InvalidRequestError: A role or a part is unknown, incomplete or not supported.
    """
    texts = [] if system is None else list(_system_texts(system))
    written: list[JsonObject] = []
    turn: _UserTurn | _AssistantTurn | None = None
    for message in messages:
        role = _ROLES.get(message.role)
        match role:
            case "system":
                texts += _system_texts(message.content)
                continue
            case "user":
                if not isinstance(turn, _UserTurn):
                    written += [] if turn is None else turn.written()
                    turn = _UserTurn()
            case "assistant":
                if not isinstance(turn, _AssistantTurn):
                    written += [] if turn is None else turn.written()
                    turn = _AssistantTurn()
            case _:
                raise _invalid("'messages' has a role other than user, assistant and system.")
        for part in _parts(message.content):
            turn.add(part)
    written += [] if turn is None else turn.written()
    return [{"role": "system", "content": _PARAGRAPH.join(texts)}, *written] if texts else written


def _system_texts(content: str | list[Part]) -> Iterable[str]:
    for part in _parts(content):
        if part.type != "text":
            raise _unsupported(f"A system message cannot hold a part of type '{part.type[:64]}'. Send text.")
        if part.text and not part.text.startswith(_BILLING):
            yield part.text


class _UserTurn:
    """Collect what the user says in a row: results of tools, texts and images."""

    def __init__(self) -> None:
        self._results: list[JsonObject] = []
        self._images: list[JsonObject] = []
        """Images in results: a tool's message can hold only text."""
        self._parts: list[JsonObject] = []

    def add(self, part: Part) -> None:
        """Add a part to the turn."""
        if part.type != "tool_result":
            self._parts += _said(part)
            return
        if not part.tool_use_id:
            raise _invalid("A 'tool_result' has no 'tool_use_id'.")
        said = [each for inner in _parts(_decoded(part.content)) for each in _said(inner)]
        self._images += [each for each in said if each["type"] != "text"]
        text = _PARAGRAPH.join(each["text"] for each in said if each["type"] == "text")
        content = f"Error: {text}" if part.is_error else text
        self._results.append({"role": "tool", "tool_call_id": part.tool_use_id, "content": content})

    def written(self) -> list[JsonObject]:
        """Return the messages of the turn."""
        parts = [*self._images, *self._parts]
        if not parts and self._results:
            return self._results
        is_text = all(part["type"] == "text" for part in parts)
        content = _PARAGRAPH.join(part["text"] for part in parts) if is_text else parts
        return [*self._results, {"role": "user", "content": content}]


class _AssistantTurn:
    """Collect what the assistant said in a row: thoughts, texts and calls of tools."""

    def __init__(self) -> None:
        self._thoughts: list[str] = []
        self._texts: list[str] = []
        self._calls: list[JsonObject] = []

    def add(self, part: Part) -> None:
        """Add a part to the turn."""
        match part.type:
            case "thinking":
                self._thoughts.append(part.thinking or "")
            case "redacted_thinking":
                # Encrypted for Anthropic's own models.
                pass
            case "tool_use":
                if not part.id or not part.name:
                    raise _invalid("A 'tool_use' has no 'id' or no 'name'.")
                arguments = bytes(part.input).decode() if is_object(part.input) else "{}"
                function = {"name": part.name, "arguments": arguments}
                self._calls.append({"id": part.id, "type": "function", "function": function})
            case _:
                said = list(_said(part))
                if any(each["type"] != "text" for each in said):
                    raise _unsupported("A message of the assistant cannot hold an image.")
                self._texts += [each["text"] for each in said]

    def written(self) -> list[JsonObject]:
        """Return the message of the turn. The texts are joined as they were streamed: without anything in between."""
        text = "".join(self._texts)
        message: JsonObject = {"role": "assistant", "content": text or (None if self._calls else "")}
        if thoughts := _PARAGRAPH.join(filter(None, self._thoughts)):
            message["reasoning"] = thoughts
        if self._calls:
            message["tool_calls"] = self._calls
        return [message]


def _parts(content: str | list[Part] | None) -> list[Part]:
    if isinstance(content, str):
        return [Part(type="text", text=content)]
    return content or []


def _said(part: Part) -> Iterable[JsonObject]:
    """Return the parts of a chat completion's message for a text, an image, a document or a search result."""
    match part.type:
        case "text":
            yield _text(part.text)
        case "image":
            yield {"type": "image_url", "image_url": {"url": _image_url(_source(part))}}
        case "document":
            yield from _document(part)
        case "search_result":
            texts = [each.text for each in _parts(_decoded(part.content))]
            yield _text("\n".join(filter(None, [part.title, _source_name(part.source), *texts])))
        case "tool_reference":
            # A result of Anthropic's search for tools: the tool is declared, which is all that a worker can be told.
            pass
        case kind if not kind.endswith(_HOSTED):
            raise _unsupported(f"Content of type '{kind[:64]}' is not supported here.")
        case _:
            pass


def _document(part: Part) -> Iterable[JsonObject]:
    source = _source(part)
    match source.type:
        case "text":
            body = [_text(_decoded_text(source.data))]
        case "content":
            body = [each for inner in _parts(source.content) for each in _said(inner)]
        case _:
            raise _unsupported("Documents are supported only as text: send a source of type 'text', not a PDF.")
    if heading := "\n".join(filter(None, [part.title, part.context])):
        yield _text(heading)
    yield from body


def _image_url(source: Source) -> str | Raw:
    match source.type:
        case "base64" if bytes(source.data)[:1] == b'"':
            # Not decoded: it may be megabytes.
            head = openai.encode(f"data:{source.media_type};base64,")
            return Raw(head[:-1] + memoryview(source.data)[1:])
        case "url" if source.url:
            return source.url
        case _:
            raise _unsupported("An image needs a source of type 'base64' with 'data', or of type 'url' with 'url'.")


def _text(text: str | None) -> JsonObject:
    return {"type": "text", "text": text or ""}


def _source(part: Part) -> Source:
    try:
        return decode_source(part.source)
    except msgspec.ValidationError:
        raise _invalid(f"The 'source' of a part of type '{part.type}' cannot be read.") from None


def _source_name(source: Raw) -> str:
    return decode_text(source) if bytes(source)[:1] == b'"' else ""


def _decoded(content: Raw) -> str | list[Part] | None:
    try:
        return None if is_null(content) else decode_parts(content)
    except msgspec.ValidationError:
        raise _invalid("The 'content' of a part must be a string or a list of parts, each with a 'type'.") from None


def _decoded_text(data: Raw) -> str:
    try:
        return decode_text(data)
    except msgspec.ValidationError:
        raise _invalid("The 'data' of a text document must be a string.") from None


def _invalid(reason: str) -> InvalidRequestError:
    return InvalidRequestError(reason, param="messages")


def _unsupported(reason: str) -> InvalidRequestError:
    return InvalidRequestError(reason, param="messages", code="unsupported_value")
