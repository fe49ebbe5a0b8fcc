"""Recognize that a prompt does not fit into the model's context, in the words of each server.

Sources: vLLM (old "maximum context length is", new "the model's context length is only"), SGLang (Switchyard#426),
llama.cpp ("exceeds the available context size"), TGI ("`inputs` tokens + `max_new_tokens` must be <="), Ollama, and
pi#5929; agentao#88 for throttling messages that were taken for it.
"""

import re

CODE = "context_length_exceeded"
_CODES = frozenset(
    {
        CODE,
        "exceed_context_size_error",
        "context_window_exceeded",
        "ContextWindowExceededError",
        "input_too_long",
        "prompt_too_long",
    }
)
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
_THROTTLE = re.compile(
    r"(?i)rate.?limit|too many (?:requests|concurrent)|throttl|quota|\bTPM\b|\bRPM\b|\bTPD\b|concurren|in flight"
    r"|tokens?[ -]?(?:per[ -]|/ ?)(?:min|sec|hour|day|month)|per[ -](?:minute|second|hour|day|month)\b"
    r"|\b(?:daily|hourly|monthly)\b|this (?:minute|hour|day|month)|usage (?:limit|tier)|\bbilling\b|\bcredits?\b"
    r"|\byour (?:current )?(?:plan|tier|organi[sz]ation|account)\b|slow down|\bwait\b|\bbusy\b|overload|at capacity"
    r"|try(?:ing)? again (?:in|later|after|soon)|before trying|please retry|retry after|queue"
)
"""Words of throttling."""
_OTHER_TROUBLE = re.compile(
    r"(?i)out of memory|\bOOM\b|KV cache|\bCUDA\b|engine|config\.json|max_position_embeddings|draft model"
    r"|user-specified|failed to start|time(?:d )?.?out"
)
"""Words of a lack of memory, and of an engine that cannot start: neither is about the prompt."""
_THROTTLE_CODE = re.compile(r"(?i)rate.?limit|throttl|quota|too.?many.?requests|overload")
_NUMBER = re.compile(r"(?<![\w.-])\d[\d,_]{0,15}(?:\.\d{1,9})?(?![\w-])")


def is_context_overflow(message: str, *, code: str, type_: str, status: int | None) -> bool:
    """Report whether an error says that the prompt is too long for the model; never for throttling or a lack of memory.

    A 5xx is the worker's own trouble, in which such words may stand by chance: there they need two numbers, the tokens
    of the prompt and the limit.

    Args:
        message: The error's text.
        code: Its code, if it is a word.
        type_: Its type.
        status: Its HTTP status; None if it has none.
    """
    if status == 429 or _THROTTLE_CODE.search(code) or _THROTTLE_CODE.search(type_):
        return False
    if code in _CODES or type_ in _CODES:
        return True
    if _THROTTLE.search(message) or _OTHER_TROUBLE.search(message) or _PHRASES.search(message) is None:
        return False
    return status is None or 400 <= status < 500 or len(set(_NUMBER.findall(message))) > 1
