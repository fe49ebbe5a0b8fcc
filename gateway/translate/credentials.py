"""Remove credentials from a text: keys, tokens, passwords and cookies, detected by their names and their own form.

Terms that a sentence merely mentions stay readable: "Missing key: 'messages'", `max_token: 5`, "Bearer authentication".
Every quantifier has an upper bound, so the cost is linear in the length of the text.
"""

import re

REDACTED = "[redacted]"

_QUOTED = r"[bru]{0,2}(?P<q>\\{0,3}['\"`])(?:(?!(?P=q))(?:\\.|[^\n\\])){0,2048}(?P<end>(?P=q)|(?=\n)|$)"
_GROUPED = r"\[[^\]\n]{0,1024}\]?|\{[^}\n]{0,1024}\}?"
_PLAIN = (
    r"(?:(?:bearer|basic|token)\s{1,3})?"
    r"(?:[^\s,;&'\"]|[,;&](?!\s|[\w-]{1,40}\s?[=:]|['\"]|$)|['\"](?=\w)){1,2048}"
)
_SIGN = r"(?:\\{0,3}['\"`]|%2[27])?\]?\s{0,3}(?:=>|:=|->|==|=|:|%3[AD])\s{0,3}"
_NAMES = (
    r"password|passwd|passphrase|passcode|pwd|secret|credential|cookie|(?:db|ssh|user|root|admin|smtp|mysql)_?pass(?=\W)"
    r"|(?:api|access|secret|private|account|auth|signing|encryption|storage|subscription|license|master)[ _-]?key"
    r"|(?:access|auth|refresh|bearer|session|hub|api|bot|client|csrf|xsrf|security|personal|secret"
    r"|hf|hugging_?face(?:_hub)?|git(?:hub|lab)|slack|wandb|runpod|vault)[ _-]?token(?![\w-])"
    r"|(?-i:(?<![A-Za-z0-9_])[A-Z][A-Z0-9_]{1,30}(?<!EOS|BOS|PAD|UNK|SEP|CLS|MAX|END)(?<!MASK|STOP)(?<!IMAGE|AUDIO|VIDEO)"
    r"_TOKEN(?![\w-]))"
)
_DOUBTFUL = (
    r"(?:(?<![a-z0-9])(?:key|sig|sas|signature|auth|pass|jwt|session[_-]?id)|token)|(?-i:(?<=[a-z0-9])(?:Key|Sig|Pass))"
)
_ASSIGNED = re.compile(
    rf"(?i)(?:(?P<secret>(?:{_NAMES})[\w-]{{0,20}}(?:\s(?:provided|given|used|supplied|for\s[\w@.' -]{{1,40}}?))?)"
    rf"(?P<sign>{_SIGN}|\s{{1,3}}(?:is|was)(?:\sset\sto)?:?\s{{1,3}}|\s{{1,3}}(?=\\{{0,3}}['\"])"
    r"|\s{1,3}\((?=[^()\s]{3,128}\)))"
    rf"|(?P<doubtful>{_DOUBTFUL})(?P<mark>{_SIGN}))"
    rf"(?P<value>{_QUOTED}|{_GROUPED}|{_PLAIN})"
)
"""A name, a sign, and a value. A value after a name in `_DOUBTFUL` is not always a secret."""
_CLOSERS = ")]}>.:;,!?"
_NOTHING = frozenset({"", "null", "none", "nil", "true", "false", "undefined", "unset", "empty", "...", "…", "***"})
_SENTENCE = re.compile(
    r"(?i)(?:required|invalid|incorrect|missing|not|too|wrong|expired|empty|set|needed|field|input|extra|str|string"
    r"|value|must|should|cannot|can|may|has|have|does|unknown|only|allowed|disabled|optional|expected|none|null|an?|the"
    r"|no|in|of|to|for|or|and|is|was|with|if|when|used|being|unauthori[sz]ed|header|out|on|at|by|from|as|that|this|your|part"
    r"|stored|rejected|revoked|longer|shorter|less|more|already|still|never|also|now|available|configured|provided|deprecated"
    r"|parameters?|property|properties|argument|attribute)\b"
)
"""Words that continue a sentence about the name, and are not its value."""
_SAID_OF_FIELD = re.compile(
    r"(?:\\{0,3}['\"`])?\s(?:(?:is|was|are)\s(?:an?\s)?(?:required|missing|unexpected|not\s(?:defined|declared|permitted)\b)"
    r"|(?:must|should|has\sto|needs\sto|cannot)\s(?:not\s)?be\s(?:an?\s|of\s)?(?:type\s|valid\s|non-?empty\s){0,2}"
    r"['\"]?(?:str|int|number|float|bool|object|array|list|dict|null|none|empty|set|given|provided|present|specified)"
    r"|has\san?\s(?:invalid|unsupported|wrong)\stype|does\snot\sexist)"
)
"""Phrases after a quoted field name, but not after a value, which is "wrong" or "too short"."""
_FIELD_NAME = re.compile(r"[A-Za-z_]{1,40}")
_WORD_BEFORE = re.compile(r"([A-Z]?[a-z]{1,30}|[A-Z]{1,30})[ _-]{0,2}$")
_NOT_SECRET = frozenset(
    {"max", "min", "eos", "bos", "pad", "unk", "sep", "cls", "mask", "stop", "end", "start", "prompt",
    "completion", "input", "output", "total", "cached", "reasoning", "new", "num", "first", "next", "last",
    "image", "audio", "video", "special", "forced", "draft", "chat", "generated", "sampled", "banned", "per",
    "by", "each", "single", "unexpected", "unknown", "missing", "duplicate", "extra", "required",
    "unsupported", "unrecognized", "primary", "foreign", "sort", "partition", "cache", "public", "routing",
    "group", "dict", "json", "object", "field", "column", "index", "idempotency", "hash", "lookup", "state",
    "param", "config", "layer", "weight", "forward", "backward", "second", "count"}
)  # fmt: skip
"""Words before `token`, `key` and `pass` in the language of models, schemas and parsers."""
_WORD = r"[A-Za-z][a-z]{0,20}(?:[A-Z][a-z]{1,20}){0,4}\d{0,2}"
_IDENTIFIER = re.compile(
    rf"{_WORD}(?:[._](?:{_WORD}|\d{{1,3}})){{1,12}}|(?:temperature|seed|stop|stream|logprobs|model|messages?|prompt|tools?)\d{{0,2}}"
)
"""A dotted path, words of snake_case, or a parameter's name: `messages.0.content`."""
_NUMBER = re.compile(r"[+-]?\d[\d.,_]{0,11}")

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:[^-]|-(?!----END)){0,4096}(?:-----END [A-Z0-9 ]{1,40}-----)?", re.DOTALL
)
_PARAMETER = r"[\w-]{1,40}=(?:\\?\"[^\"\n]{0,512}\"|[^\s,'\"]{1,512})"
_AUTHORIZATION = re.compile(
    rf"(?i)(authorization(?:\sheader)?{_SIGN}(?:\[\s{{0,3}}(?=['\"]))?)(?!(?:required|missing|header|invalid|is|not|field)\b)"
    rf"(?:{_QUOTED}|(?:[a-z][\w-]{{1,30}}\s{{1,3}})?"
    rf"(?:{_PARAMETER}(?:,\s{{0,3}}{_PARAMETER}){{0,20}}|[^\s'\",;]{{1,2048}}))"
)
_COOKIE = re.compile(
    rf"(?i)((?:set-)?cookies?2?{_SIGN})"
    r"(?!\s{0,3}(?:required|missing|invalid|not|is|field required|input should|extra inputs|must|should)\b"
    r"[^\n=]{0,200}(?:\n|$))"
    rf"(?P<value>{_QUOTED}|[^\n]{{1,4096}})"
)
_PAIR = re.compile(
    rf"(?i)(\(b?['\"][\w-]{{0,40}}(?:authorization|cookie|key|token|secret|password)['\"],\s{{0,3}}){_QUOTED}"
)
"""A header or a variable as a Python tuple."""
_TAG = re.compile(
    r"(?i)(<[\w:-]{0,40}(?:password|passwd|secret|api[_-]?key|access[_-]?key|access[_-]?token)[\w-]{0,20}>)[^<]{1,1024}"
)
_USER = re.compile(
    rf"(?<!\S)((?:-[uU]|--(?:proxy-)?user)[ =]{{0,3}})(?:{_QUOTED}|(?:[^\s:'\"]{{1,128}}:[^\s'\"]{{1,256}}))"
)
_OPTION = re.compile(
    rf"(?i)(?<![\w-])(--(?P<of>[\w-]{{0,40}}?)(?:password|passwd|token|secret|api-key|access-key|auth)"
    rf"(?:\s{{1,3}}|\\{{0,3}}['\"],\s{{0,3}}))"
    rf"(?:{_QUOTED}|(?P<plain>(?!-)[^\s'\"]{{1,512}}))"
)
"""A command-line option and its value, also as two entries of a list."""
_CLIENT = re.compile(
    r"(?i)(\b(?:mysql|mariadb|sshpass)\w{0,10}\b[^\n|;]{0,200}?[\s'\"]-p(?!ort\b)\s?)['\"]?[^\s'\"]{1,256}"
)
_STRING = r"b?(?:'(?:\\.|[^'\\\n]){0,512}'|\"(?:\\.|[^\"\\\n]){0,512}\")"
_LOGIN = re.compile(
    rf"(?i)((?:\bauth\s?=\s?|(?:Basic|Digest)Auth)[(\[]\s{{0,3}}){_STRING}(?:,\s{{0,3}}{_STRING}){{1,2}}"
)
"""A user and a password in the form that requests, httpx and aiohttp accept."""
_JUDGED = re.compile(
    rf"(?i)(?<!unexpected )(\b(?P<kind>token|key)\s{{1,3}})(?:{_QUOTED}|(?P<plain><?[^\s'\"<>()|,;]{{6,512}}>?))"
    r"(?=\s{1,3}(?:(?:is|was|has|are)\s(?:been\s)?)?(?:not\s)?"
    r"(?:(?P<hard>expired|revoked|rejected|refused|denied|(?:un)?authori[sz]ed)|(?:in)?valid|incorrect|wrong|malformed)\b)"
)
"""A token or a key that a sentence calls invalid, expired or refused."""
_TOLD = re.compile(
    rf"(?i)((?P<judge>\b(?:invalid|incorrect|wrong|bad|expired|unknown)\s)?"
    rf"(?:(?:{_NAMES})[\w-]{{0,20}}|\bauthorization|\b(?:with|using|invalid|bad|wrong)\stoken)\s{{1,3}})"
    r"(?P<plain>[^\s,;'\"()=:]{4,512})(?P<last>(?=[\s.!)]{0,3}(?:$|\n)))?"
)
"""A credential after its name, without a sign between them."""
_TOLD_NOUN = re.compile(
    r"(?i)(?:format|length|types?|names?|headers?|prefix|ids?|supplied|errors?|exception|values?|scopes?|permissions?"
    r"|found|sent|detected|specified|encoding|hash|file|combination|attempts?|count|limit|index|signature)\W{0,3}"
)
_BEARER = re.compile(r"(?i)\b(bearer)(\s{1,3}|%20|[:=]\s{0,3})([\w.~+/=-]{3,2048})")
_BASIC = re.compile(r"(?i)\b(basic)(\s{1,3}|%20)([\w+/-]{8,2048}={0,2})")
_BEARER_WORD = re.compile(
    r"(?i)(?:auth\w{0,20}|tokens?|schemes?|credentials?|headers?|keys?|realm\b.{0,200}|error\b.{0,200}|format|types?"
    r"|prefix|challenge|access|security|methods?|strings?|values?|are|was|with|from|and|for|not|only|must|should|instead"
    r"|[a-z]{2,20}_[a-z_]{1,20}=.{0,200}"
    r"|required|missing|invalid|expected)"
)
_BASIC_WORD = re.compile(
    r"(?i)[a-z]{0,30}(?:tion|ing|ity|ture|ment|ness|[ae]nce|ical|ally)s?|(?:example|template|response|request|command"
    r"|message|language|problem|concept|principle|username|password|credential|knowledge|research|support)s?"
)
_KEY = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:"
    r"(?:sk|pk|rk|rpa|rps|fp|gh[pousr]|github_pat|gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt)|xox[abeoprs]|xapp|gsk|nvapi"
    r"|xai|r8|shp(?:at|ss|ca|pa)|dop_v1|dckr_pat|whsec|lin_api)[-_][A-Za-z0-9_*-]{6,2048}"
    r"|(?:fw|rnd|phc|jina|npm)_[A-Za-z0-9]{16,2048}|(?:pplx|csk|tvly|pypi|tgp_v1)[-_][A-Za-z0-9_-]{16,2048}"
    r"|hf_(?:(?=[a-z]{0,60}[A-Z0-9])[A-Za-z0-9]{6,2048}|[a-z]{20,2048})"
    r"|(?:AIza|AKIA|ASIA|ABIA|ACCA|ATATT3)[A-Za-z0-9_*=-]{6,2048}|(?:ya29|hvs|SG)\.[A-Za-z0-9_.-]{6,2048}"
    r"|eyJ[\w-]{8,4096}(?:\.[\w-]{0,4096}){0,4})"
)
"""Known prefixes of tokens, such as those of OpenAI and others (sk-), Runpod, GitHub, GitLab, Slack, Google, AWS,
Hugging Face and JWTs."""


def without_credentials(text: str) -> str:
    """Return the text with each credential replaced by REDACTED."""
    text = _PEM.sub(REDACTED, text)
    text = _COOKIE.sub(_cookie, text)
    text = _TAG.sub(rf"\1{REDACTED}", text)
    text = _PAIR.sub(_value_hidden, text)
    text = _LOGIN.sub(rf"\1{REDACTED}", text)
    text = _CLIENT.sub(rf"\1{REDACTED}", text)
    text = _AUTHORIZATION.sub(_value_hidden, text)
    text = _USER.sub(_user, text)
    text = _OPTION.sub(_option, text)
    text = _without_assigned(text)
    text = _JUDGED.sub(_judged, text)
    text = _TOLD.sub(_told, text)
    text = _BEARER.sub(_bearer, text)
    text = _BASIC.sub(_basic, text)
    return _KEY.sub(REDACTED, text)


def _value_hidden(found: re.Match[str]) -> str:
    """Redact everything after the first group, but keep the quotes around it."""
    value = found[0][len(found[1]) :]
    opening = "" if found["q"] is None else value[: value.index(found["q"]) + len(found["q"])]
    return f"{found[1]}{opening}{REDACTED}{found['end'] or ''}"


def _cookie(found: re.Match[str]) -> str:
    return found[0] if found["q"] and _is_field(found, found["value"].strip("\\'\"`")) else _value_hidden(found)


def _user(found: re.Match[str]) -> str:
    return _value_hidden(found) if ":" in found[0] else found[0]


def _option(found: re.Match[str]) -> str:
    plain = found["plain"]
    value = found[0][len(found[1]) :].strip("\\'\"`")
    before = found["of"].rstrip("-").rpartition("-")[2].lower()
    is_other = before in _NOT_SECRET or _NUMBER.fullmatch(value) or value.startswith("-")
    if is_other or (plain is not None and _SENTENCE.match(plain)):
        return found[0]
    return _value_hidden(found)


def _judged(found: re.Match[str]) -> str:
    """Redact a value that was revoked or refused, or that has the form of a credential.

    `key 'n' is invalid` is about a field or a layer, and `token 'NaN' is not valid` about a parser or a vocabulary.
    """
    plain, value = found["plain"], found[0][len(found[1]) :].strip("\\'\"`<>")
    is_field = found["kind"].lower() == "key" and found["hard"] is None
    is_certain = plain is None and found["hard"] is not None
    has_form = _has_form(value) and (not is_field or (value.isalnum() and len(value) >= 16))
    if plain is None and not is_field:
        has_form = " " not in value and (len(value) >= 20 or (has_form and len(value) >= 8))
    is_word = value.startswith(("|", "<", REDACTED)) or not any(map(str.isalnum, value))
    return found[0] if is_word or not (is_certain or has_form) else _value_hidden(found)


def _told(found: re.Match[str]) -> str:
    plain = found["plain"].rstrip(_CLOSERS)
    is_last = found["judge"] is not None and found["last"] is not None
    is_word = _SENTENCE.match(plain) or _TOLD_NOUN.fullmatch(plain) or plain.startswith(REDACTED[:-1])
    if is_word or not (is_last or (_has_form(plain) and len(plain) >= 8)):
        return found[0]
    return f"{found[1]}{REDACTED}{found['plain'][len(plain) :]}"


def _has_form(value: str) -> bool:
    """Return True if a value has both digits and letters, unlike most words."""
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


def _bearer(found: re.Match[str]) -> str:
    token = found[3].rstrip("./")
    return found[0] if _BEARER_WORD.fullmatch(token) else f"{found[1]}{found[2]}{REDACTED}"


def _basic(found: re.Match[str]) -> str:
    """Redact a value that looks like base64: the word "basic" also precedes many ordinary words."""
    token = found[3]
    is_mixed = re.search(r"[a-z][A-Z]|[0-9+/=]", token) is not None
    is_no_word = token.isalpha() and not _BASIC_WORD.fullmatch(token)
    return f"{found[1]}{found[2]}{REDACTED}" if is_mixed or is_no_word else found[0]


def _without_assigned(text: str) -> str:
    """Redact the values of names; search a value that stays for another name."""
    parts, at = [], 0
    while (found := _ASSIGNED.search(text, at)) is not None:
        start, end = found.span("value")
        value = found["value"]
        if found["q"] is not None:
            opening = value[: value.index(found["q"]) + len(found["q"])]
            closing = found["end"]
        else:
            opening = value[: len(value) - len(value.lstrip("([{<"))]
            closing = value[len(value.rstrip(_CLOSERS)) :]
        bare = value[len(opening) : len(value) - len(closing)]
        parts.append(text[at:start])
        at = start
        if _is_hidden(text, found, bare):
            parts.append(f"{opening}{REDACTED}{closing}")
            at = end
    return "".join((*parts, text[at:]))


def _is_field(found: re.Match[str], value: str) -> bool:
    """Return True if a quoted word after a colon is the name of a field: `'get_token': 'name' is required`."""
    sign = found[0][: found.start("value") - found.start()]
    is_quoted = found["q"] is not None and sign.endswith(": ")
    said = _SAID_OF_FIELD.match(found.string, found.end()) if is_quoted else None
    return said is not None and _FIELD_NAME.fullmatch(value) is not None


def _is_hidden(text: str, found: re.Match[str], value: str) -> bool:
    """Return True if a value is a credential rather than a word."""
    if _is_field(found, value):
        return False
    if value.strip().lower() in _NOTHING or value.startswith(REDACTED[:-1]) or REDACTED in found["value"]:
        return False
    sign = found["sign"] if found["secret"] else found["mark"]
    is_sentence = found["q"] is None and sign[-1:] in {" ", "\n", "\t", "("} and _SENTENCE.match(value) is not None
    if found["secret"]:
        return not is_sentence
    has_form = _has_form(value)
    before = _WORD_BEFORE.search(text[max(0, found.start() - 40) : found.start()])
    if text[max(0, found.start() - 1) : found.start()] in {"?", "&"}:
        # In a URL's query, `key` is a common name of a credential.
        return _NUMBER.fullmatch(value) is None
    if before is not None and before[1].lower() in _NOT_SECRET:
        return has_form and len(value) >= 16 and value.isalnum()
    return not is_sentence and _is_doubtful_hidden(found["doubtful"].lower(), sign, value, has_form=has_form)


def _is_doubtful_hidden(name: str, sign: str, value: str, *, has_form: bool) -> bool:
    is_number = _NUMBER.fullmatch(value) is not None
    is_tight = "=" in sign or "%" in sign or sign[:1] in {"'", '"', "\\", "`"}
    if name == "token":
        # Keep tokens of a model's vocabulary, such as `<|end|>`, and those of a parser.
        return not (is_number or value[:1] in "<|" or not any(map(str.isalnum, value)))
    has_form = has_form and len(value) >= 6
    if name == "key":
        if not is_tight and _IDENTIFIER.fullmatch(value):
            return False
        return has_form or (len(value) >= 20 and " " not in value)
    return has_form or (is_tight and (name == "pass" or not is_number))
