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
    r"(?i)traceback:|Traceback \(most recent call last\)|\nlogs:\n|\\nlogs:\\n"
    r"|\b(?:worker|container|engine|server|pod|captured|recent|last|system|build)[ _]logs?\b[^\n:=]{0,40}[:=]"
    r"|\b(?:worker|container|pod|captured|process)[ _]output\b[^\n:=]{0,40}[:=]"
    r"|\bstd(?:err|out)\b['\"]?[^\n:=]{0,20}[:=]|-{3,8} ?(?:logs?|stderr|stdout)\b"
)
"""Where the words of the error end, and what a worker wrote meanwhile begins."""


def redact(text: str) -> str:
    """Return the text without what a tenant must not see, cut to SHOWN_LENGTH_MAX characters."""
    source = text[:SOURCE_LENGTH_MAX]
    if len(text) >= SOURCE_LENGTH_MAX:
        # Half a credential may have lost what it is known by.
        source = source[: max(source.rfind(" "), source.rfind("\n"), SOURCE_LENGTH_MAX - _WORD_LENGTH_MAX)]
    if (tail := _TAIL.search(source)) is not None:
        source = source[: tail.start()]
    text = without_places(without_credentials(with_bare_urls(source))).strip()
    return text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "…"
