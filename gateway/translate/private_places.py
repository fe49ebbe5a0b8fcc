"""Remove addresses and hosts of private networks, file paths, and all parts of a URL but a public host, from a text.

Every quantifier has an upper bound, so the cost is linear in the length of the text.
"""

import re

_URL = re.compile(
    r"(?i)\b(?:(?<=')([a-z][a-z0-9+.-]{1,20})://([^\s'\"<>]{1,4096})|([a-z][a-z0-9+.-]{1,20})://([^\s\"<>]{1,4096}))"
)
_CLOSERS = ")]}>.:;,!?'`\\"
_PORT = re.compile(r"(?::\d{0,5})?$")
_ODD_PORT = re.compile(r":(?!\d{0,5}$)")
_PUBLIC_HOST = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63}){1,10}\.?")
_INTERNAL_ENDS = (
    r"(?:internal|local|localdomain|localhost|svc|lan|corp|intranet|intra|private|consul|home\.arpa|runpod\.net)"
)
_INTERNAL_HOST = re.compile(rf"(?i)[\d.]{{1,64}}|(?:[\w-]{{1,63}}\.){{0,10}}(?:{_INTERNAL_ENDS})\.?|[^.]{{1,255}}")
_USER = re.compile(
    r"(?<![\w@/:.-])[\w.+%-]{1,64}:[^\s/'\"<>]{1,256}@(?!sha256:)"
    r"(?:((?:[\w-]{1,63}\.){0,10}[\w-]{1,63}(?::\d{1,5})?)|(?=\[))"
)
_V6_PART = r"(?:[0-9a-f]{1,4}:){0,6}[0-9a-f]{1,4}"
_IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}"
_IPV6_ADDRESS = re.compile(
    r"(?i)(?<![\w:.])(?<!\w\[)\[?(?=[0-9a-f:]{0,44}[0-9a-f])"
    rf"(?:(?:[0-9a-f]{{1,4}}:){{7}}[0-9a-f]{{1,4}}|(?:{_V6_PART})?::(?:(?:[0-9a-f]{{1,4}}:){{0,6}}{_IPV4}|(?:{_V6_PART})?))"
    r"(?:%[\w.-]{1,20})?(?:\](?::\d{1,5})?)?(?![\w:]|\.\d)"
)
_IPV4_ADDRESS = re.compile(
    rf"(?i)(\bversion(?: is)?['\"]?[ :=]{{1,3}}['\"]?)?(?<![\w.]){_IPV4}(?::\d{{1,5}})?(?!\.?\d)"
)
_HOST = re.compile(
    rf"(?i)(?<![\w.@-])(?:(?:[\w-]{{1,63}}\.){{1,10}}{_INTERNAL_ENDS}|localhost)(?::\d{{1,5}})?(?![\w-]|\.\w)"
    r"|(?<![\w./@:-])(?P<dashed>[a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){1,8}):\d{4,5}(?![\w.:-])"
)
"""Internal hosts, detected by the end of their name, or by a name such as `vllm-engine-0` with a port."""
_NO_MODEL = r"not (?:found|available|supported|loaded|installed)|does not exist|unknown|unavailable"
_MODEL_BEFORE = re.compile(
    rf"(?i)\bmodels?\b['\"`]?(?: (?:name|id|(?:is )?(?:{_NO_MODEL}|invalid)))?['\"`]?\s?[:=]?\s?['\"`]?$"
)
_MODEL_BEHIND = re.compile(rf"(?i)['\"`]?\s(?:(?:is|was) )?(?:{_NO_MODEL}|does not support)")
_ADDRESSED = re.compile(
    r"(?i)(?:\b(?:connect\w{0,6}(?: to)?|host|server|address|upstream|backend|peer|at|to)\b[ =:'\"]{0,3}|://)$"
)
_MODEL_SIZE = re.compile(r"(?i)-(?:\d{1,2}x)?\d{1,4}[bm](?:-|$)")
"""Part of a model's name with its size. Ollama's names with a tag, such as `gpt-oss-20b:8192`, look like a host with a
port."""
_NAMED_HOST = re.compile(
    r"(?i)\b(host(?:name)?|connect(?:ing|ion|ed)? to|address|server|peer|upstream|backend)(['\"]?[ =:]{1,3}['\"]?)"
    r"([a-z0-9][\w.-]{0,253})(:\d{2,5}\b)?"
)
_PATH = re.compile(r"(?<![\w/.:])(?!/v1/)(?:/[\w.@+-]{1,255}){2,64}/?|[A-Za-z]:\\[^\s'\"]{1,1024}")


def without_places(text: str) -> str:
    """Return the text with each address, host and path replaced by "…"."""
    text = _USER.sub(_host_of_user, text)
    text = _IPV6_ADDRESS.sub("…", text)
    # A version number with four parts is not an address.
    text = _IPV4_ADDRESS.sub(lambda found: found[0] if found[1] else "…", text)
    text = _HOST.sub(_host, text)
    text = _NAMED_HOST.sub(_named_host, text)
    return _PATH.sub("…", text)


def with_bare_urls(text: str) -> str:
    """Reduce each URL to its scheme and public host.

    The path may contain names, the query signatures, and the host may be internal.
    """
    return _URL.sub(_bare_url, text)


def _bare_url(found: re.Match[str]) -> str:
    scheme, rest = (found[1], found[2]) if found[1] else (found[3], found[4])
    bare = rest.rstrip(_CLOSERS)
    closing = rest[len(bare) :]
    authority = re.split(r"[/?#]", bare, maxsplit=1)[0]
    if "@" in authority or ("@" in bare and _ODD_PORT.search(authority)):
        # A password may contain an @, and even a slash: the last @ precedes the host.
        bare = bare.rpartition("@")[2]
        authority = re.split(r"[/?#]", bare, maxsplit=1)[0]
    host = _PORT.sub("", authority)
    if not _PUBLIC_HOST.fullmatch(host) or _INTERNAL_HOST.fullmatch(host):
        return f"{scheme}://…{closing}"
    return f"{scheme}://{host}{'/…' if len(bare) > len(authority) else ''}{closing}"


def _host_of_user(found: re.Match[str]) -> str:
    host = _PORT.sub("", found[1] or "")
    return f"…@{found[1]}" if _PUBLIC_HOST.fullmatch(host) and not _INTERNAL_HOST.fullmatch(host) else "…"


def _host(found: re.Match[str]) -> str:
    """Hide a host, but keep a model name with a tag if the sentence identifies it as a model."""
    before = found.string[max(0, found.start() - 40) : found.start()]
    if found["dashed"] is None or _ADDRESSED.search(before):
        return "…"
    is_model = _MODEL_BEFORE.search(before) or (
        _MODEL_SIZE.search(found["dashed"]) and _MODEL_BEHIND.match(found.string, found.end())
    )
    return found[0] if is_model else "…"


def _named_host(found: re.Match[str]) -> str:
    """Hide a value that the text calls a host, if it cannot be a public host name."""
    is_said = found[4] is not None or (found[1].lower().startswith("host") and not found[2].isspace())
    is_internal = _INTERNAL_HOST.fullmatch(found[3].rstrip(".")) is not None
    return f"{found[1]}{found[2]}…" if is_said and is_internal else found[0]
