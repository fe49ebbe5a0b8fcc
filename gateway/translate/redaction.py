"""Remove from error texts what a tenant must not see: credentials, addresses, file paths, tracebacks, worker logs."""

import re

from gateway.translate.credentials import REDACTED, without_credentials
from gateway.translate.places import with_bare_urls, without_places

__all__ = ["REDACTED", "SHOWN_LENGTH_MAX", "SOURCE_LENGTH_MAX", "redact"]

SOURCE_LENGTH_MAX = 4 * 1024
"""How much of a text is searched: the expressions must stay cheap."""
SHOWN_LENGTH_MAX = 600
_WORD_LENGTH_MAX = 256

_TAIL = re.compile(
    r"(?i)traceback:|Traceback \(most recent call last\)|(?:^|\n|\\n|[.;,] )logs?(?: tail)?:|\blogs:\s"
    r"|\b(?:worker|container|engine|server|pod|captured|recent|last|system|build)[ _]logs?\b[^\n:=]{0,40}[:=]"
    r"|\b(?:worker|container|engine|pod|captured|process)[ _]output\b[^\n:=]{0,40}[:=]"
    r"|\blast \d{1,5} (?:log )?(?:lines?|messages|entries)\b[^\n:=]{0,40}[:=]|\btail of (?:the )?(?:\w{1,20} )?logs?\b"
    r"|\bstd(?:err|out)\b['\"]?[^\n:=]{0,20}[:=]|-{3,8} ?(?:[\w-]{1,20} ){0,3}(?:logs?|stderr|stdout|output)\b"
)
"""Where the words of the error end, and what a worker wrote meanwhile begins."""
_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)"
_TIME = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_STAMP = rf"\d{{4}}[-/]\d\d[-/]\d\d[T ]{_TIME}"
_PREFIX = (
    rf"(?:\([\w-]{{1,40}}(?: pid=\d{{1,8}})?\) )?{_LEVEL} \d\d-\d\d {_TIME}(?: \[?[\w./-]{{1,80}}:\d{{1,6}}\])?[ ]?"
    rf"|\[{_STAMP}[^\]\n]{{0,20}}\][ ]?(?:{_LEVEL}\b[ :|-]{{0,4}})?"
    rf"|{_STAMP}[ |\[-]{{1,4}}(?:[\w.]{{1,40}}[ |-]{{1,4}}){{0,2}}{_LEVEL}\b[ \]:|-]{{0,10}}"
    rf"(?:[\w.]{{1,60}}:[\w<>.]{{1,60}}:\d{{1,6}}[ -]{{1,3}})?"
    rf"|[DIWEF]\d{{4}} {_TIME}[ \d]{{0,20}}[\w./-]{{1,80}}:\d{{1,6}}\][ ]?"
)
"""What log lines begin with: vLLM's, SGLang's, those of Python's logging and loguru, and glog's."""
_LOG_PREFIX = re.compile(_PREFIX)
_LOG_LINE = re.compile(
    rf"(?:(?<![\w-])|(?<=\\n))(?:{_PREFIX})"
    rf"|(?:(?<=\n)|(?<=\\n))[ \t]{{0,8}}(?:{_LEVEL}[: ]|{_STAMP}|\{{\"(?:level|time|ts|timestamp|log)\":)"
)


def redact(text: str) -> str:
    """Return the text without what a tenant must not see, cut to SHOWN_LENGTH_MAX characters."""
    source = text[:SOURCE_LENGTH_MAX]
    if len(text) >= SOURCE_LENGTH_MAX:
        # Half a credential may have lost what it is known by.
        source = source[: max(source.rfind(" "), source.rfind("\n"), SOURCE_LENGTH_MAX - _WORD_LENGTH_MAX)]
    source = _without_logs(source.strip())
    text = without_places(without_credentials(with_bare_urls(source))).strip()
    return text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "…"


def _without_logs(text: str) -> str:
    """Cut off what is no more of the error. A text that is itself a line of a log keeps the message of that line."""
    if (prefix := _LOG_PREFIX.match(text)) is not None:
        text = text[prefix.end() :].split("\n", maxsplit=1)[0]
    for expression in (_TAIL, _LOG_LINE):
        if (found := expression.search(text)) is not None:
            text = text[: found.start()]
    return text
