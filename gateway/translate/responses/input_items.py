"""Convert the input items of a Responses request to chat messages.

Everything that a model said in one turn becomes one assistant message: its text, its reasoning and its tool calls.
Instructions and the system messages at the beginning become one message, because many chat templates accept only one.
"""

import msgspec
from msgspec import Raw

from gateway.errors import InvalidRequestError
from gateway.translate.responses.parts import content_of, text_of_parts, type_of
from gateway.translate.responses.tools import function_name, wrap_input
from gateway.translate.responses.unsupported import unsupported
from gateway.wire import openai
from gateway.wire.lenient import is_empty, is_null
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, Fields

ITEMS_MAX = 10_000
"""Maximum number of input items."""
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_HOSTED = frozenset({
    "web_search_call", "file_search_call", "computer_call", "computer_call_output", "code_interpreter_call",
    "image_generation_call", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output",
    "apply_patch_call", "apply_patch_call_output", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response",
    "mcp_call", "tool_search_call", "tool_search_output",
})  # fmt: skip
"""Items of tools that OpenAI runs itself: they say nothing to a worker, and are dropped like those tools."""
_decode_items = msgspec.json.Decoder(list[Fields]).decode


def messages_of(fields: Fields) -> Raw:
    """Return the chat messages for the fields `instructions` and `input`.

    Raises:
        InvalidRequestError: One of them is missing or cannot be read, or refers to something stored.
    """
    conversation = _Conversation()
    if not is_null(fields.get("instructions")):
        conversation.say("system", content_of(fields["instructions"], "instructions", separator="\n"))
    given = fields.get("input")
    if is_null(given):
        reason = "Missing required parameter: 'input'."
        raise InvalidRequestError(reason, param="input", code="missing_required_parameter")
    if bytes(given or b"")[:1] == b'"':
        conversation.say("user", given or NULL)
    else:
        for position, item in enumerate(_items(given or NULL)):
            conversation.add(item, f"input[{position}]")
    return conversation.messages()


def _items(raw: Raw) -> list[Fields]:
    try:
        items = _decode_items(raw)
    except MALFORMED:
        reason = "'input' must be a string or a list of items, which are objects."
        raise InvalidRequestError(reason, param="input", code="invalid_type") from None
    if not items:
        raise InvalidRequestError("'input' must contain at least one item.", param="input")
    if len(items) > ITEMS_MAX:
        reason = f"'input' has {len(items)} items, and at most {ITEMS_MAX} are accepted. Drop or summarize the oldest."
        raise InvalidRequestError(reason, param="input")
    return items


class _Turn(msgspec.Struct):
    """Collect what the model said in one turn."""

    contents: list[Raw] = msgspec.field(default_factory=list)
    reasoning: list[str] = msgspec.field(default_factory=list)
    calls: list[Fields] = msgspec.field(default_factory=list)

    def message(self) -> Fields:
        """Return the assistant message."""
        content = _joined(self.contents, "\n") if self.contents else NULL if self.calls else Raw(b'""')
        fields: Fields = {"role": Raw(b'"assistant"'), "content": content}
        if self.reasoning:
            fields["reasoning"] = Raw(openai.encode("\n".join(self.reasoning)))
        if self.calls:
            fields["tool_calls"] = openai.join_objects(self.calls)
        return fields


class _Conversation:
    """Build the messages from one item after another."""

    def __init__(self) -> None:
        self._messages: list[Fields] = []
        self._turn: _Turn | None = None
        self._leading: list[Raw] | None = []
        """Contents of the system messages at the beginning; None after them."""

    def messages(self) -> Raw:
        """Return all messages."""
        self._close()
        return openai.join_objects(self._messages)

    def add(self, item: Fields, param: str) -> None:
        """Add the next item."""
        kind = type_of(item)
        if kind == "message" or (not kind and "role" in item):
            self._add_message(item, param)
        elif kind in {"function_call", "custom_tool_call"}:
            self._add_call(item, kind, param)
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            output = content_of(item.get("output"), f"{param}.output", separator="\n")
            call_id = Raw(openai.encode(_text(item, "call_id", param)))
            self._append({"role": Raw(b'"tool"'), "tool_call_id": call_id, "content": output})
        elif kind == "reasoning":
            name = "summary" if is_empty(item.get("content")) else "content"
            if text := text_of_parts(item.get(name), f"{param}.{name}"):
                self._open_turn(is_new=False).reasoning.append(text)
        elif kind == "item_reference":
            reason = "Items are not stored here. Send the item itself instead of 'item_reference'."
            raise unsupported(reason, param)
        elif kind not in _HOSTED:
            reason = "Items of this type are not supported. Send messages, function calls and their outputs."
            raise unsupported(reason, f"{param}.type")

    def say(self, role: str, content: Raw) -> None:
        """Add a message of the client."""
        if role == "system" and self._leading is not None and bytes(content)[:1] == b'"':
            self._leading.append(content)
        else:
            self._append({"role": Raw(openai.encode(role)), "content": content})

    def _add_message(self, item: Fields, param: str) -> None:
        role = _ROLES.get(_text(item, "role", param))
        if role is None:
            reason = f"'{param}.role' must be 'user', 'assistant', 'system' or 'developer'."
            raise InvalidRequestError(reason, param=f"{param}.role")
        separator = {"assistant": "", "system": "\n"}.get(role)
        content = content_of(item.get("content"), f"{param}.content", separator=separator)
        if role != "assistant":
            self.say(role, content)
            return
        self._open_turn(is_new=self._turn is not None and bool(self._turn.contents)).contents.append(content)

    def _add_call(self, item: Fields, kind: str, param: str) -> None:
        name, call_id = _text(item, "name", param), _text(item, "call_id", param)
        namespace = None if is_null(item.get("namespace")) else _text(item, "namespace", param)
        if kind == "custom_tool_call":
            arguments = wrap_input(_text(item, "input", param))
        else:
            arguments = _text(item, "arguments", param)
        function = {"name": function_name(name, namespace), "arguments": arguments}
        call = {"id": call_id, "type": "function", "function": function}
        fields = {each: Raw(openai.encode(value)) for each, value in call.items()}
        self._open_turn(is_new=False).calls.append(fields)

    def _open_turn(self, *, is_new: bool) -> _Turn:
        """Return the turn in progress. A second text begins a new one, but not after calls, whose outputs follow."""
        if self._turn is not None and is_new and not self._turn.calls:
            self._close()
        if self._turn is None:
            self._flush_leading()
            self._turn = _Turn()
        return self._turn

    def _append(self, message: Fields) -> None:
        self._close()
        self._messages.append(message)

    def _close(self) -> None:
        self._flush_leading()
        turn, self._turn = self._turn, None
        if turn is not None:
            self._messages.append(turn.message())

    def _flush_leading(self) -> None:
        leading, self._leading = self._leading, None
        if leading:
            self._messages.append({"role": Raw(b'"system"'), "content": _joined(leading, "\n\n")})


def _joined(contents: list[Raw], separator: str) -> Raw:
    """Join contents: strings to one string; otherwise all of them become the parts of one list."""
    if len(contents) == 1:
        return contents[0]
    if all(bytes(each)[:1] == b'"' for each in contents):
        return Raw(openai.encode(separator.join(map(openai.decode_string, contents))))
    parts: list[Fields] = []
    for each in contents:
        parts += [{"type": Raw(b'"text"'), "text": each}] if bytes(each)[:1] == b'"' else openai.decode_objects(each)
    return openai.join_objects(parts)


def _text(item: Fields, name: str, param: str) -> str:
    try:
        return openai.decode_string(item[name])
    except (*MALFORMED, KeyError):
        raise InvalidRequestError(f"'{param}' needs a '{name}', which is a string.", param=f"{param}.{name}") from None
