"""Redact error texts for tenants: remove credentials, addresses, file paths, tracebacks and worker logs."""

import re

from gateway.translate.credentials import REDACTED, without_credentials
from gateway.translate.private_places import with_bare_urls, without_places

__all__ = ["REDACTED", "SHOWN_LENGTH_MAX", "SOURCE_LENGTH_MAX", "redact"]

SOURCE_LENGTH_MAX = 4 * 1024
"""Maximum number of characters of a text that are searched, to limit the cost of the regular expressions."""
SHOWN_LENGTH_MAX = 600
_WORD_LENGTH_MAX = 256

_TAIL = re.compile(
    r"(?i)traceback:|Traceback \(most recent call last\)|(?:^|\n|\\n|[.;,] )logs?(?: tail)?:|\blogs:\s"
    r"|\b(?:worker|container|engine|server|pod|captured|recent|last|system|build)[ _]logs?\b[^\n:=]{0,40}[:=]"
    r"|\b(?:worker|container|engine|pod|captured|process)[ _]output\b[^\n:=]{0,40}[:=]"
    r"|\blast \d{1,5} (?:(?:log )?(?:lines?|entries)|log messages|messages (?:of|from|in)\b[^\n:=]{0,20}\blogs?)\b"
    r"[^\n:=]{0,40}[:=]|\blast \d{1,5} messages:(?=\s{0,3}(?:\n|\\n))|\btail of (?:the )?(?:\w{1,20} )?logs?\b"
    r"|\bstd(?:err|out)\b['\"]?[^\n:=]{0,20}[:=]|-{3,8} ?(?:[\w-]{1,20} ){0,3}(?:logs?|stderr|stdout|output)\b"
)
"""Start of captured worker logs or output after the error message."""
_HINT = re.compile(
    r"(?i)\b(?:see|check|inspect|consult|view|read|refer to|look (?:at|in|into))\s(?:[\w'-]{1,20}\s){0,3}$"
)
_GOES_ON = re.compile(r"[^\n:=]{1,80}:[ \t]{0,8}(?!\\n)\S")
"""Text after a colon on the same line: with `_HINT` before it, the message only refers to logs."""
_HEADING = re.compile(r"(?i)(?:\w{1,20}[ _])?(?:logs?|output|std(?:err|out))['\"]?:[ \t]{0,8}(?!\\n)(?=\S)")
"""A heading such as "logs:" before the error, at the start of a text: the name of a field or of a stream."""
_NEWLINE = re.compile(r"\n|\\n")
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
"""Prefixes of log lines: vLLM's, SGLang's, those of Python's logging and loguru, and glog's."""
_LEVELS_OF_ERRORS = r"(?:WARN(?:ING)?|ERROR|CRITICAL|FATAL)"
"""Levels that also begin ordinary error messages; in a log line, a source location, a time or uvicorn's padding
follows."""
_ORIGIN = (
    r"(?:\[[\w.:/ -]{1,60}\]|\d{4}[-/]\d\d[-/]|\d\d-\d\d |\d\d:\d\d|(?:\d{1,3}\.){3}\d{1,3}:\d"
    r"|[\w./-]{1,80}\.(?:py|cc|cpp|cu|c|h|rs|go|js|ts):\d)"
)
_LOG_PREFIX = re.compile(_PREFIX)
_LOG_LINE = re.compile(
    rf"(?:(?<![\w-])|(?<=\\n))(?:{_PREFIX})"
    rf"|(?:(?<=\n)|(?<=\\n))[ \t]{{0,8}}(?:(?!{_LEVELS_OF_ERRORS}){_LEVEL}[: ]"
    rf"|{_LEVELS_OF_ERRORS}(?::?[ ]{{2,8}}|:[\w.]{{1,60}}:(?=\S)|:?[ ]?{_ORIGIN})"
    rf"|{_STAMP}|\{{\"(?:level|time|ts|timestamp|log)\":)"
)


def redact(text: str) -> str:
    """Return the text without anything that a tenant must not see, truncated to SHOWN_LENGTH_MAX characters."""
    source = text[:SOURCE_LENGTH_MAX]
    if len(text) >= SOURCE_LENGTH_MAX:
        # Drop the last word: a truncated credential may no longer be recognizable.
        source = source[: max(source.rfind(" "), source.rfind("\n"), SOURCE_LENGTH_MAX - _WORD_LENGTH_MAX)]
    source = _without_logs(source.strip())
    text = without_places(without_credentials(with_bare_urls(source))).strip()
    return text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "…"


def _without_logs(text: str) -> str:
    """Cut off logs after the error message. If the text itself begins as a log line, keep that line's message."""
    if (prefix := _LOG_PREFIX.match(text)) is not None:
        text = text[prefix.end() :].split("\n", maxsplit=1)[0]
    heading = _HEADING.match(text)
    if heading is not None:
        text = _NEWLINE.split(text, maxsplit=1)[0]
    starts = (found.start() for found in _TAIL.finditer(text, 0 if heading is None else heading.end()))
    text = text[: next((start for start in starts if not _is_hint(text, start)), len(text))]
    found = _LOG_LINE.search(text)
    return text if found is None else text[: found.start()]


def _is_hint(text: str, start: int) -> bool:
    """Return True if a text only refers to logs, and continues with its own words on the same line."""
    return _HINT.search(text, max(0, start - 80), start) is not None and _GOES_ON.match(text, start) is not None
