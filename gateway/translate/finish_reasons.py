"""Map the reasons with which workers end a choice to OpenAI's closed list.

Sources: OpenAI's description (`finish_reason` of chat and text completions); openai-dotnet#267 and
text-generation-inference#2344 (`eos_token`, `eos`), vLLM (`abort`, `error`), Anthropic and Gemini adapters.
"""

import msgspec
from msgspec import Raw

from gateway.errors import JobFailedError
from gateway.wire.lenient import is_null, is_object, text_of

STOP, LENGTH, TOOL_CALLS, CONTENT_FILTER, FUNCTION_CALL = (
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
)
_KNOWN = frozenset({STOP, LENGTH, TOOL_CALLS, CONTENT_FILTER, FUNCTION_CALL})
_OTHER_WORDS = {
    "max_tokens": LENGTH,
    "max_length": LENGTH,
    "max_new_tokens": LENGTH,
    "max_output_tokens": LENGTH,
    "model_length": LENGTH,
    "limit": LENGTH,
    "tool_call": TOOL_CALLS,
    "tool_use": TOOL_CALLS,
    "tools": TOOL_CALLS,
    "contentfilter": CONTENT_FILTER,
    "content_filtered": CONTENT_FILTER,
    "safety": CONTENT_FILTER,
    "recitation": CONTENT_FILTER,
    "refusal": CONTENT_FILTER,
}
_BROKEN = frozenset({"abort", "aborted", "error", "failed", "cancelled", "canceled", "timeout"})
"""The worker gave up: the choice is not complete."""


def read_finish_reason(value: Raw | None) -> str:
    """Read a finish reason; the empty text if the choice has not ended.

    A word that is not known ends the choice like `stop`. SGLang's own API writes an object with a `type`.

    Raises:
        JobFailedError: The worker gave up on the choice.
    """
    if is_null(value):
        return ""
    if is_object(value):
        value = msgspec.json.decode(value or b"{}", type=dict[str, Raw]).get("type")
    word = text_of(value).strip()
    if word in _KNOWN or not word:
        return word
    word = word.lower().replace("-", "_").replace(" ", "_")
    if word in _BROKEN:
        raise JobFailedError("The worker gave up on this answer.")
    return word if word in _KNOWN else _OTHER_WORDS.get(word, STOP)


def later_reason(known: str, reason: str) -> str:
    """Choose between two reasons of one choice: the later one, but a plain stop does not hide tool calls."""
    return known if known == TOOL_CALLS and reason == STOP else reason


def missing_reason(*, has_tool_calls: bool) -> str:
    """Return the reason of a complete choice whose worker gave none."""
    return TOOL_CALLS if has_tool_calls else STOP
