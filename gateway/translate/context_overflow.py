"""Detect errors that say that a prompt does not fit into the model's context, in the wording of each server.

Sources: vLLM (old "maximum context length is", new "the model's context length is only"), SGLang (Switchyard#426),
llama.cpp ("exceeds the available context size"), TGI ("`inputs` tokens + `max_new_tokens` must be <="), Ollama, and
pi#5929; agentao#88 for throttling messages that were mistaken for it.
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
    r"(?:longer|larger|greater|more than|less than|bigger|exceed\w*|beyond|over the|too long|too large|only|limit\w*"
    r"|maximum)"
)
_CONTEXT = (
    r"(?:context[ _-]?(?:length|window|size|limit)"
    r"|(?:max(?:imum)?[ _-]?)?(?:model|sequence|seq|input|prompt)[ _-]?len(?:gth)?"
    r"|max_seq_len|session_len|max_num_tokens|model token limit|max(?:imum)? (?:allowed |number of )?(?:length|tokens))"
)
_TOKENS = (
    r"(?:(?:prompt|input)s?[ _]?(?:token count|tokens|length|\(\d+ tokens\))"
    r"|tokens in (?:the |your )?(?:prompt|input|messages|request)\b)"
)
_LENGTH = r"(?:sequence|seq|input|prompt|context)[ _]?(?:len(?:gth)?|tokens)"
_PHRASES = re.compile(
    r"(?i)context_length_exceeded"
    rf"|\b{_LONG}\b[^\n]{{0,80}}{_CONTEXT}"
    rf"|{_CONTEXT}[^\n]{{0,80}}\b{_LONG}"
    rf"|{_TOKENS}[^\n]{{0,60}}\b{_LONG}"
    rf"|\b{_LENGTH}[ :=(]{{0,3}}\d[\d,]{{0,11}}\)?(?: tokens)? ?>=? ?(?:the )?(?:max|model|context|\d)"
    r"|(?:^|[^\w])(?:the |input )?(?:prompt|input)s?(?: (?:text|sequence|messages?))?(?: \([^)\n]{0,40}\))?"
    r"(?: (?:is|are))? too (?:long|large)"
    r"|\btoken (?:limit|count|length) (?:(?:is|was|has been) )?exceed(?:ed|s)?[^\w\n]{1,3}\d"
    r"|`?inputs`? tokens \+ `?max_new_tokens`? must be"
    r"|`?inputs`? must have less than \d+ tokens"
    r"|too many tokens"
    r"|range of input length should be"
    r"|requested token count exceeds"
)
_EXACT = (
    "context size has been exceeded.",
    "exceeds the available context size",
    "is too large to process. increase the physical batch size",
)
"""Complete phrases of an engine that have no other meaning, even in a 5xx: all are llama.cpp's (`server-context.cpp`),
which sends the first and the last as `server_error` with 500 (ggml-org/llama.cpp#19774)."""
_OTHER_THING = re.compile(
    r"(?i)(?<![a-z])(?:strings?|arrays?|lists?|names?|descriptions?|images?|audios?|videos?|files?|ur[li]s?|schemas?|enums?"
    r"|characters?|seconds?|pixels?|bytes)(?![a-z])"
)
"""Words for things other than a prompt that have a maximum length or size."""
_OF_CONTEXT = re.compile(
    r"(?i)context[ _-]?(?:length|window|size|limit)|(?:prompt|sequence|seq|model)[ _-]?(?:len|token|\(|is\b|are\b)"
    r"|prompts? exceed|max_seq_len|max_model_len|session_len|max_num_tokens"
)
"""Terms that only name a model's context, whatever else the sentence mentions: an image's tokens fill it too."""
_OTHER_PARAMETER = re.compile(
    r"(?i)(?<![a-z])(?:temperature|seed|logit_?bias|(?:prompt_|top_)?logprobs?|top_?[pk]|min_?p|\w{1,20}_penalty|best_of)(?![a-z])"
)
"""Parameters whose limits are unrelated to the length of the prompt."""
_COMPARED = re.compile(
    r"(?i)exceed|too |longer|larger|greater|bigger|more than|less than|beyond|reach|fit|(?<![\w.-])\d"
)
"""Words of a comparison, or a number; without one, "only", "limit" and "maximum" are not evidence of an overflow."""
_SUBJECT = re.compile(r"(?i)prompt|input|context|sequence|seq_?len|session_len|token|messages|conversation|request")
_SENTENCE_END = re.compile(r"[.;!?](?=\s|$)|\n")
_SENTENCE_LENGTH_MAX = 300
_THROTTLE = re.compile(
    r"(?i)rate.?limit|too many (?:requests|concurrent)|throttl|quota|\bTPM\b|\bRPM\b|\bTPD\b|concurren|in flight"
    r"|tokens?[ -]?(?:per[ -]|/ ?)(?:min|sec|hour|day|month)|per[ -](?:minute|second|hour|day|month)\b"
    r"|\b(?:daily|hourly|monthly)\b|this (?:minute|hour|day|month)|usage (?:limit|tier)|\bbilling\b|\bcredits?\b"
    r"|\byour (?:current )?(?:plan|tier|organi[sz]ation|account)\b|slow down|\bwait\b|\bbusy\b|overload|at capacity"
    r"|try(?:ing)? again (?:in|later|after|soon)|before trying|please retry|retry after|queue"
)
"""Words of throttling."""
_OTHER_TROUBLE = re.compile(
    r"(?i)out of memory|\bOOM\b|KV cache|\bCUDA\b|(?<!supported by the )(?<!allowed by the )(?<!limit of the )engine"
    r"|config\.json|max_position_embeddings|draft model|user-specified|failed to start|time(?:d )?.?out"
)
"""Words about a lack of memory or an engine that cannot start: neither is about the prompt."""
_THROTTLE_CODE = re.compile(r"(?i)rate.?limit|throttl|quota|too.?many.?requests|overload")
_OTHER_CODE = re.compile(
    r"(?i)string|array|integer|decimal|object|image|audio|video|file|tool|function|schema|url|name|policy|filter|not_found"
)
"""Error codes that name another cause, such as OpenAI's `string_above_max_length`."""
_NUMBER = re.compile(r"(?<![\w.-])\d[\d,_]{0,15}(?:\.\d{1,9})?(?![\w-])")


def is_context_overflow(message: str, *, code: str, type_: str, status: int | None) -> bool:
    """Return True if an error says that the prompt is too long for the model; never for throttling or a lack of memory.

    A 5xx is a failure of the worker, whose message may contain such words by chance. It therefore has to contain an
    engine's exact phrase, or two numbers: the tokens of the prompt and the limit. A code that names another fault takes
    precedence over the message.

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
    if _OTHER_CODE.search(code) or _THROTTLE.search(message) or _OTHER_TROUBLE.search(message):
        return False
    if not any(_is_of_prompt(message, found) for found in _PHRASES.finditer(message)):
        return False
    if status is None or 400 <= status < 500 or len(set(_NUMBER.findall(message))) > 1:
        return True
    return any(phrase in message.lower() for phrase in _EXACT)


def _is_of_prompt(message: str, found: re.Match[str]) -> bool:
    """Return True if the sentence around a phrase is about the prompt, and not about a name, a string or an image."""
    earliest = max(0, found.start() - _SENTENCE_LENGTH_MAX)
    start = max((each.end() for each in _SENTENCE_END.finditer(message, earliest, found.start())), default=earliest)
    following = _SENTENCE_END.search(message, found.end(), found.end() + _SENTENCE_LENGTH_MAX)
    sentence = message[start : found.end() + _SENTENCE_LENGTH_MAX if following is None else following.start()]
    if _OTHER_PARAMETER.search(sentence) or not _COMPARED.search(sentence):
        return False
    if _OF_CONTEXT.search(sentence):
        return True
    return _SUBJECT.search(sentence) is not None and _OTHER_THING.search(sentence) is None
