"""Remove from error texts what a tenant must not see: credentials, addresses, file paths, tracebacks, worker logs."""

import re

SOURCE_LENGTH_MAX = 4 * 1024
"""How much of a text is searched: the expressions must stay cheap."""
SHOWN_LENGTH_MAX = 600
REDACTED = "[redacted]"

_TRACEBACK = re.compile(r"(?:traceback:|Traceback \(most recent call last\)|\nlogs:\n).*", re.DOTALL | re.IGNORECASE)
_CREDENTIAL = (
    r"[\w-]{0,40}(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key|authorization|signature"
    r"|credential|cookie)[\w-]{0,20}|(?:[\w-]{0,40}[_-])?(?:token|pwd|sig|sas|key)"
)
_ASSIGNED = re.compile(
    rf"(?i)(?<![\w-])({_CREDENTIAL})(['\"]?\s{{0,3}}[=:]\s{{0,3}})(?:(?:bearer|basic)\s+)?(['\"]?)[^\s'\",;&)}}\]]+"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s{1,3}(?=[^\s]{0,200}[\d_.=+/-])[\w.~+/=-]{6,}")
_KEY = re.compile(
    r"\b(?:(?:sk|pk|rk|rpa|rps|hf|fp|ghp|gho|ghs|github_pat|glpat|xox[abeprs]|npm|pypi|gsk|nvapi)[-_]|AIza|AKIA|ASIA)"
    r"[A-Za-z0-9_-]{6,}|\beyJ[\w-]{8,}\.[\w.-]+"
)
_URL = re.compile(
    r"\b([a-z][a-z0-9+.-]{1,20})://(?:[^\s/@'\"<>]*@)?([^\s/?#'\"<>:)\]]*)(:\d+)?([^\s'\"<>)\]]*)", re.IGNORECASE
)
_ADDRESS = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w.]*\d)")
_PATH = re.compile(r"(?<![\w/.:])(?:/[\w.@+-]+){2,}/?|[A-Za-z]:\\[^\s'\"]+")
_INTERNAL_HOST = re.compile(
    r"(?i)\[|[\d.]+$|localhost$|[^.]+$|.*\.(?:internal|local|localdomain|svc|lan|cluster\.local)$"
)


def redact(text: str) -> str:
    """Return the text without what a tenant must not see, cut to SHOWN_LENGTH_MAX characters."""
    text = _TRACEBACK.sub("", text[:SOURCE_LENGTH_MAX])
    text = _URL.sub(_bare_url, text)
    text = _ASSIGNED.sub(rf"\1\2\3{REDACTED}", text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    text = _KEY.sub(REDACTED, text)
    text = _ADDRESS.sub("…", text)
    text = _PATH.sub("…", text).strip()
    return text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "…"


def _bare_url(found: re.Match[str]) -> str:
    """Keep scheme and host of a public URL; its path may hold names, its query signatures, and its host be internal."""
    host = found[2]
    return (
        f"{found[1]}://…"
        if _INTERNAL_HOST.match(host)
        else f"{found[1]}://{host}/…"
        if found[4]
        else f"{found[1]}://{host}"
    )
