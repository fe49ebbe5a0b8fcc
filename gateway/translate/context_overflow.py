"""Recognize that a prompt does not fit into the model's context, in the words of each server.

Sources: vLLM (old "maximum context length is", new "the model's context length is only"), SGLang (Switchyard#426),
llama.cpp ("exceeds the available context size"), TGI ("`inputs` tokens + `max_new_tokens` must be <="), Ollama, and
pi#5929; agentao#88 for throttling messages that were taken for it.
"""

import re

CODE = "context_length_exceeded"
_CODES = frozenset({CODE, "exceed_context_size_error", "context_window_exceeded", "input_too_long", "prompt_too_long"})
_LONG = (
    r"(?:longer|larger|greater|more than|less than|bigger|exceed\w*|beyond|too long|too large|only|limit\w*|maximum)"
)
_CONTEXT = (
    r"(?:context[ _-]?(?:length|window|size|limit)"
    r"|(?:max(?:imum)?[ _-]?)?(?:model|sequence|seq|input|prompt)[ _-]?len(?:gth)?"
    r"|max_seq_len|session_len|max_num_tokens|model token limit|max(?:imum)? (?:allowed |number of )?(?:length|tokens))"
)
_TOKENS = r"(?:prompt|input)s?[ _]?(?:token count|tokens|length|\(\d+ tokens\))"
_PHRASES = re.compile(
    r"(?i)context_length_exceeded"
    rf"|\b{_LONG}\b[^\n]{{0,80}}{_CONTEXT}"
    rf"|{_CONTEXT}[^\n]{{0,80}}\b{_LONG}"
    rf"|{_TOKENS}[^\n]{{0,60}}\b{_LONG}"
    r"|(?:^|[^\w])(?:the |input )?(?:prompt|input)s?(?: \([^)\n]{0,40}\))? (?:is|are) too (?:long|large)"
    r"|`?inputs`? tokens \+ `?max_new_tokens`? must be"
    r"|`?inputs`? must have less than \d+ tokens"
    r"|too many tokens"
    r"|range of input length should be"
    r"|requested token count exceeds"
)
_OTHER_LIMIT = re.compile(
    r"(?i)out of memory|\bOOM\b|KV cache|\bCUDA\b|rate.?limit|too many (?:requests|concurrent)|throttl|quota"
    r"|tokens? per (?:min|sec|hour|day)|\bTPM\b|\bRPM\b|try again (?:in|later)|please retry|retry after|concurrency"
    r"|queue|engine|config\.json|max_position_embeddings|draft model|user-specified|failed to start|time(?:d )?.?out"
)
"""Words of throttling, of a lack of memory, and of an engine that cannot start: none of them is about the prompt."""


def is_context_overflow(message: str, *, code: str, type_: str, status: int | None) -> bool:
    """Report whether an error says that the prompt is too long for the model; never for throttling or a lack of memory.

    Args:
        message: The error's text.
        code: Its code, if it is a word.
        type_: Its type.
        status: Its HTTP status; None if it has none.
    """
    if code in _CODES or type_ in _CODES:
        return status != 429
    if status == 429 or _OTHER_LIMIT.search(message):
        return False
    return _PHRASES.search(message) is not None
