"""Parse the text of an error: the HTTP status that it states, and the object that it quotes.

A worker that calls an engine often forwards only the text of its client's exception. Sources: worker-vllm 2.x ("vLLM
returned HTTP 404: {…}"), openai-python and LiteLLM ("litellm.BadRequestError: … Error code: 400 - {…}"), requests and
urllib ("400 Client Error: …", "HTTP Error 400: …"), httpx ("Client error '404 Not Found' for url"), aiohttp ("400,
message='…', url='…'"), axios ("Request failed with status code 400"), starlette's HTTPException ("400: …" and its
repr), google-genai ("400 INVALID_ARGUMENT. {…}"), and reprs such as BadRequestError("Error code: …").
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec

from gateway.wire.malformed import MALFORMED

Detail = Mapping[str, object]

_SEARCH_LENGTH_MAX = 200
"""Number of characters that are searched for a status: a later one belongs to the quoted text."""
_RAISED = r"(?:[\w.]{1,60}: )?"
_EXCEPTION = r"(?:[\w.]{0,60}(?:Error|Exception): )?"
_FAILED = r"([45][0-9]{2})"
_PHRASES = tuple(each.phrase for each in HTTPStatus if each >= 400)
_STATED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rf"^{_RAISED}\w{{1,30}} returned HTTP {_FAILED}:\s*(.*)$",
        rf"^{_RAISED}Error code: {_FAILED}(?: - |:\s*)(.*)$",
        rf"(?i)^{_RAISED}(?:HTTP Error|HTTP(?:/[\d.]{{1,3}})?|status(?: code)?:?) {_FAILED}\b[ :,-]*(.*)$",
        rf"^{_RAISED}{_FAILED} (?:Client|Server) Error: (.*)$",
        rf"^{_RAISED}(?:Client|Server) error '{_FAILED} .*()$",
        rf"^HTTPException\(status_code={_FAILED}, detail=(.*)\)$",
        rf"^{_EXCEPTION}{_FAILED}[:,]\s*(.*)$",
        rf"^{_EXCEPTION}{_FAILED} (?:{'|'.join(map(re.escape, _PHRASES))})\b[ :.,-]*(.*)$",
        rf"^{_EXCEPTION}{_FAILED} [A-Z_]{{4,40}}\b[ :.,-]*(.*)$",
    )
)
"""Patterns of texts that begin with the status of an HTTP answer; the second group is the rest."""
_SAID = re.compile(
    r"(?i)(\berror code: |\bstatus(?:[ _]?code)?(?: of|:|=)? ?|\breturned (?:an? )?(?:HTTP |status |code |error ){0,3})"
    rf"{_FAILED}\b(?![.,]?\d)(?!\s(?!errors?\b|details?\b)[a-z]{{1,30}}s\b)"
)
"""The same in the middle of a text; "it returned 500 tokens" is not a status."""
_NAMED = re.compile(r"^(?:[\w.]{1,60}\.)?(\w{1,60}(?:Error|Exception))(?=[:(])")
_CALL = re.compile(r"^[\w.]{1,60}\((['\"].*)\)$", re.DOTALL)
_MESSAGE = re.compile(r"^message=(['\"])(.*?)\1(?:, (?:url|headers)=.*)?$", re.DOTALL)


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the parsed text of an error."""

    words: str
    inner: Detail | Sequence[object] | None = None
    """The object or the list that the text quotes, or that it consists of."""
    status: int | None = None
    is_aside: bool = False
    """True if the status is only mentioned in passing: it may be that of another service, and a separate status field
    is more reliable."""
    type: str = ""
    """Name of the exception."""


def read_statement(text: str) -> Statement:
    """Parse an error's text."""
    text = _unquoted(text.strip().removeprefix("handler: "))
    if (inner := parsed(text)) is not None:
        return Statement(words=text, inner=inner)
    for pattern in _STATED:
        if (found := pattern.match(text)) is not None:
            rest = _message(found[2].strip())
            return Statement(words=rest or text, inner=_parsed_head(rest), status=int(found[1]))
    named = _NAMED.match(text)
    name = "" if named is None else named[1]
    said = _SAID.search(text, 0, _SEARCH_LENGTH_MAX)
    if said is None:
        quoted = text.find(" - {", 0, _SEARCH_LENGTH_MAX) if name else -1
        return Statement(words=text, inner=_parsed_head(text[quoted + 3 :]) if quoted >= 0 else None, type=name)
    inner = _parsed_head(text[said.end() :].lstrip(" -:,.)"))
    is_aside = not said[1].lower().startswith("error code")
    return Statement(words=text, inner=inner, status=int(said[2]), is_aside=is_aside, type=name)


def parsed(text: str) -> Detail | Sequence[object] | None:
    """Parse an object or a list: JSON, or the Python repr that the SDK makes of a yielded error.

    Return None for any other text, and for an empty object or list.
    """
    if not text.startswith(("{", "[")):
        return None
    try:
        value = msgspec.json.decode(text)
    except MALFORMED:
        value = _literal(text)
    return value if isinstance(value, dict | list) and value else None


def is_phrase(text: object) -> bool:
    """Return True if a text is only the reason phrase of a status, such as "Bad Request"."""
    return isinstance(text, str) and text.strip() in _PHRASES


def _parsed_head(text: str) -> Detail | Sequence[object] | None:
    """Parse the object at the beginning of a text: LiteLLM and others write more after it."""
    if not text.startswith(("{", "[")):
        return None
    if (value := parsed(text)) is not None:
        return value
    try:
        value = json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return parsed(text[: text.rfind("}" if text.startswith("{") else "]") + 1])
    return value if isinstance(value, dict | list) and value else None


def _unquoted(text: str) -> str:
    """Extract the text from an exception's repr, such as `BadRequestError("Error code: 400 …")`."""
    if (found := _CALL.match(text)) is None:
        return text
    value = _literal(f"({found[1]})")
    first = value[0] if isinstance(value, tuple) and value else value
    return first.strip() if isinstance(first, str) and first.strip() else text


def _message(rest: str) -> str:
    """Extract the message from aiohttp's text, or from the quotes of a repr."""
    if (found := _MESSAGE.match(rest)) is not None:
        return found[2].strip()
    value = _literal(rest) if rest.startswith(("'", '"')) else None
    return value.strip() if isinstance(value, str) else rest


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
