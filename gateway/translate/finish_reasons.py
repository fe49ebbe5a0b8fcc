"""Map the finish reasons of workers to OpenAI's closed list.

Sources: OpenAI's description (`finish_reason` of chat and text completions); openai-dotnet#267 and
text-generation-inference#2344 (`eos_token`, `eos`), vLLM (`abort`, `error`), Anthropic and Gemini adapters.
"""

import re

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
_NOT_ENDED = frozenset({"null", "none", "normal", "unspecified", "not_finished", "in_progress"})
_PREFIXES = ("finish_reason_", "finishreason.", "finish_reason.")
_BROKEN = re.compile(
    r"error|abort|cancel|fail|malformed|time_?out|insufficient|unavailable|overload|interrupt|disconnect"
    r"|out_of_memory|(?:^|_)oom(?:_|$)|kv_?cache|preempt|evict|crash|killed|rate_limit|throttl|quota|at_capacity"
)
"""Reasons with which the worker gave up: the choice is not complete.

DeepSeek sends `insufficient_system_resource`, Zhipu `network_error`.
"""
_KINDS = (
    (CONTENT_FILTER, re.compile(r"filter|safety|sensitive|prohibit|blocklist|guardrail|recitation|refusal|spii")),
    (TOOL_CALLS, re.compile(r"tool|function")),
    (LENGTH, re.compile(r"length|limit|max_?\w*token|context_window|context_exceeded")),
)
"""OpenAI's reasons with the words that indicate them; the first match applies."""
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def read_finish_reason(value: Raw | None) -> str:
    """Return OpenAI's finish reason for a worker's, or an empty string if the choice has not ended.

    An unknown word maps to `stop`. SGLang's own API sends an object with a `type`.

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
    word = _CAMEL.sub("_", word).lower().replace("-", "_").replace(" ", "_")
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    if word in _KNOWN:
        return word
    if word in _NOT_ENDED:
        return ""
    if _BROKEN.search(word):
        raise JobFailedError("The worker aborted this answer.")
    return next((kind for kind, expression in _KINDS if expression.search(word)), STOP)


def later_reason(known: str, reason: str) -> str:
    """Return the later of two reasons of one choice, except that `stop` does not replace an earlier reason."""
    return known if known and reason == STOP else reason


def missing_reason(*, has_tool_calls: bool) -> str:
    """Return the reason for a complete choice whose worker sent none."""
    return TOOL_CALLS if has_tool_calls else STOP
