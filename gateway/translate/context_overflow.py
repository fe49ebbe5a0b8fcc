"""Recognize that a prompt does not fit into the model's context, in the words of each server.

Sources: vLLM (old "maximum context length is", new "the model's context length is only"), SGLang (Switchyard#426),
llama.cpp ("exceeds the available context size"), TGI ("`inputs` tokens + `max_new_tokens` must be <="), Ollama, and
pi#5929; agentao#88 for throttling messages that were taken for it.
"""

import re

CODE = "context_length_exceeded"
_CODES = frozenset({CODE, "exceed_context_size_error", "context_window_exceeded", "input_too_long", "prompt_too_long"})
_LONG = r"(?:longer|larger|greater|more|bigger|exceed\w*|over|beyond|too long|too large|only|limit\w*|maximum)"
_CONTEXT = (
    r"(?:context[ _-]?(?:length|window|size|limit)"
    r"|max(?:imum)?[ _-]?(?:model|sequence|input)[ _-]?len(?:gth)?|max_seq_len)"
)
_PHRASES = re.compile(
    r"(?i)context_length_exceeded"
    rf"|{_LONG}[^.\n]{{0,120}}{_CONTEXT}"
    rf"|{_CONTEXT}[^.\n]{{0,120}}{_LONG}"
    r"|(?:prompt|input)s?\b[^.\n]{0,60}\b(?:is|are) too long"
    r"|`?inputs`? tokens \+ `?max_new_tokens`? must be"
    r"|`?inputs`? must have less than \d+ tokens"
    r"|requested token count exceeds"
)
_OTHER_LIMIT = re.compile(
    r"(?i)out of memory|\bOOM\b|KV cache|\bCUDA\b|rate.?limit|too many (?:requests|concurrent)|throttl|quota"
    r"|tokens? per (?:min|sec|hour|day)|\bTPM\b|\bRPM\b|try again (?:in|later)"
)


def is_context_overflow(message: str, *, code: str, type_: str, status: int | None) -> bool:
    """Report whether an error says that the prompt is too long for the model; never for throttling or a lack of memory.

    Args:
        message: The error's text.
        code: Its code, if it is a word.
        type_: Its type.
        status: Its HTTP status; None if it has none.
    """
    if status == 429 or _OTHER_LIMIT.search(message):
        return False
    return code in _CODES or type_ in _CODES or _PHRASES.search(message) is not None
