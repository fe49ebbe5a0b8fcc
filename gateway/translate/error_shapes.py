"""Extract the message, status and code of an error, in any of the shapes that workers write."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from gateway.translate.error_texts import Detail, is_phrase, read_statement

READ_LENGTH_MAX = 64 * 1024
_NESTED_MAX = 8
"""Maximum nesting depth. One answer may have five levels: the answer, its error, a text in it, the engine's answer that
the text quotes, and the error in that."""
TEXTS_MAX = 8
"""Maximum number of entries of a list of validation errors that are read."""
_COMPLAINT_LENGTH_MAX = 1024
_STATUS_TEXT = re.compile(r"[45][0-9]{2}")
_STATUS_BY_TYPE = {
    "BadRequestError": 400,
    "invalid_request_error": 400,
    "validation": 400,
    "validation_error": 400,
    "UnprocessableEntityError": 422,
    "NotFoundError": 404,
    "not_found_error": 404,
    "RateLimitError": 429,
    "rate_limit_error": 429,
    "ContextWindowExceededError": 400,
    "ContentPolicyViolationError": 400,
    "InvalidRequestError": 400,
    "UnsupportedParamsError": 400,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "ConflictError": 409,
    "InternalServerError": 500,
    "ServiceUnavailableError": 503,
    "exceed_context_size_error": 400,
}
_VALIDATION_TYPE = re.compile(r"(?:^|[.'])\w*ValidationError\b")
_COMPLAINT = re.compile(
    r"(?i)^Unexpected input\. |\bis a required input\b|\bshould be .{1,200}\btype, not\b|\bdoes not meet the constraint"
    r"|^[\w.\[\]'\"`]{1,80}:? (?:is|are) (?:required|missing|not allowed|not a valid)\b"
    r"|\b(?:should|must) (?:not )?(?:be (?:an?|one of|in|at (?:least|most)|less|greater|longer|shorter|equal|between"
    r"|empty|positive|valid|[<>\d-])|exist|match|contain|equal)|\b(?:field|input) (?:is )?required\b"
)
"""Phrases of validators: the four texts of runpod-python's `rp_validator.py`, those of Joi and class-validator, and
pydantic's. Any other list of texts may equally report a failed engine."""
_PLACE_KEYS = frozenset({"loc", "field", "param", "property", "pointer", "constraints"})
"""Keys under which a validation error names its subject: FastAPI, express-validator, class-validator, RFC 9457."""
_OVERLOADED = frozenset({"overloaded", "overloaded_error"})
TEXT_KEYS = ("message", "msg", "error_message", "error_msg", "errorMessage", "err_msg", "status_msg", "title")
ERROR_KEYS = ("error", "err", "exception", "errors", "detail", "base_resp")
"""Keys of an error object; `base_resp` is MiniMax's, which is present in successful answers too."""
_TOLD_IN = (*(name for name in ERROR_KEYS if name != "exception"), *TEXT_KEYS, "exception", "output")
"""Keys that may hold the message, in this order: Spring writes a class name as `exception` beside its message."""
_STATUS_KEYS = ("status_code", "statusCode", "status", "http_status", "code", "error_code", "errorCode", "error")
CODE_KEYS = ("code", "error_code", "errorCode", "err_code", "errcode", "errno", "retcode", "ret_code")
_GOOD_WORDS = frozenset(
    {"", "0", "00000", "ok", "success", "succeeded", "accepted", "processing", "queued", "loading", "pending"}
)
_CODE_DIGITS_MAX = 9
_BLANK_CODE_KEYS = frozenset({*CODE_KEYS, "status", "status_code", "statusCode"})
_NOTHING_WRONG = frozenset(
    {
        "",
        "none",
        "null",
        "nil",
        "undefined",
        "false",
        "ok",
        "success",
        "successful",
        "succeeded",
        "no error",
        "n/a",
        "-",
    }
)
"""Values of an error field in a successful answer, such as the text of Python's None."""


class StatedError(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what an error says about itself."""

    message: str
    status: int | None = None
    type: str = ""
    param: str | None = None
    code: str = ""
    is_aside: bool = False
    """True if the status is a guess or was mentioned in passing: one in its own field, or of the HTTP answer, is more
    reliable."""


def is_good_code(code: object) -> bool:
    """Return True if a code reports no failure: none, zero, a 2xx status, or a word of success or progress."""
    if isinstance(code, str) and not code.isdecimal():
        return code.strip().lower() in _GOOD_WORDS
    number = int(code) if isinstance(code, str) and len(code) <= _CODE_DIGITS_MAX else code
    return not number or (isinstance(number, int) and 200 <= number < 300)


def is_blank(value: object, nested: int = 0) -> bool:
    """Return True if an `error` has no content: some workers send one with empty fields in every successful answer."""
    if isinstance(value, Mapping):
        return nested < _NESTED_MAX and all(
            is_blank(each, nested + 1) or (name in _BLANK_CODE_KEYS and is_good_code(each))
            for name, each in value.items()
        )
    if isinstance(value, list | tuple):
        return nested < _NESTED_MAX and all(is_blank(each, nested + 1) for each in value)
    return value.strip().lower() in _NOTHING_WRONG if isinstance(value, str) else not value


def read_account(detail: object, *, nested: int = 0) -> StatedError:
    """Read an error in any of its shapes."""
    if isinstance(detail, Mapping) and nested < _NESTED_MAX:
        return _account_of_object(detail, nested)
    if isinstance(detail, list | tuple):
        return _account_of_list(detail, nested)
    return _account_of_text(str(detail or "").strip()[:READ_LENGTH_MAX], nested)


def _account_of_object(detail: Detail, nested: int) -> StatedError:
    own = _own_account(detail)
    named = [(name, detail[name]) for name in _TOLD_IN if name in detail]
    inners = [(name, inner) for name, inner in named if not is_blank(inner) and not isinstance(inner, int | float)]
    if len(inners) > 1:
        # NestJS writes the name of the status as `error`, and the actual description as `message`.
        inners = [(name, inner) for name, inner in inners if not is_phrase(inner)] or inners
    if not inners:
        return own
    name, inner = inners[0]
    found = _account_of_fields(inner, nested) if name == "errors" else read_account(inner, nested=nested + 1)
    # An engine's status inside a worker's error is closer to the cause, unless it is only mentioned in passing.
    is_nearer = found.status is not None and (own.status is None or not found.is_aside)
    return StatedError(
        message=found.message,
        status=found.status if is_nearer else own.status,
        type=found.type or own.type,
        param=own.param if found.param is None else found.param,
        code=found.code or own.code,
        is_aside=is_nearer and found.is_aside,
    )


def _own_account(detail: Detail) -> StatedError:
    type_ = detail.get("type") or detail.get("error_type")
    param = detail.get("param")
    codes = [code for name in CODE_KEYS if isinstance(code := detail.get(name), str) and not code.isdecimal()]
    return StatedError(
        message="",
        status=status_in(detail),
        type=type_ if isinstance(type_, str) else "",
        param=param if isinstance(param, str) else None,
        code=codes[0] if codes else "",
    )


def _account_of_fields(errors: object, nested: int) -> StatedError:
    """Read `errors`: one error, a list, or the validation errors by field, as ASP.NET and Rails write them."""
    found = read_account(errors, nested=nested + 1)
    if found.message or not isinstance(errors, Mapping):
        return found
    texts = [f"{name}: {read_account(each, nested=nested + 1).message}" for name, each in errors.items()]
    return msgspec.structs.replace(_account_of_list(texts, nested), status=400, type="validation_error", is_aside=True)


def _account_of_list(details: Sequence[object], nested: int) -> StatedError:
    """Read a list: validation errors (FastAPI's objects or the texts of runpod's validator), or complete errors."""
    texts = [_validation_text(each, nested) for each in details[:TEXTS_MAX]]
    more = len(details) - TEXTS_MAX
    message = "; ".join(text for text in texts if text) + (f"; and {more} more" if more > 0 else "")
    first = StatedError(message="")
    if details and isinstance(details[0], Mapping):
        first = read_account(details[0], nested=nested + 1)
        if "error" in details[0]:
            return msgspec.structs.replace(first, message=message)
    if first.status is not None:
        return msgspec.structs.replace(first, message=message, type="validation_error")
    if not any(_is_complaint(each) for each in details[:TEXTS_MAX]):
        return msgspec.structs.replace(first, message=message)
    return StatedError(message=message, status=400, type="validation_error", param=first.param, is_aside=True)


def _is_complaint(item: object) -> bool:
    """Return True if an entry of a list is a validation error about a part of the request."""
    if isinstance(item, Mapping):
        return not _PLACE_KEYS.isdisjoint(item) or any(_is_complaint(item.get(name)) for name in TEXT_KEYS)
    return isinstance(item, str) and _COMPLAINT.search(item[:_COMPLAINT_LENGTH_MAX]) is not None


def _validation_text(item: object, nested: int) -> str:
    if not isinstance(item, Mapping):
        return str(item or "").strip()
    text = read_account(item, nested=nested + 1).message
    where = item.get("loc")
    place = ".".join(str(each) for each in where if each != "body") if isinstance(where, list | tuple) else ""
    return f"{place}: {text}" if place else text


def _account_of_text(text: str, nested: int) -> StatedError:
    said = read_statement(text)
    account = StatedError(message=said.words)
    if said.inner is not None and nested < _NESTED_MAX:
        account = read_account(said.inner, nested=nested + 1)
        account = msgspec.structs.replace(account, message=account.message or said.words)
    if said.status is not None:
        return msgspec.structs.replace(account, status=said.status, is_aside=said.is_aside)
    if account.status is None and said.type:
        status = status_in({"type": said.type})
        return msgspec.structs.replace(account, status=status, type=account.type or said.type, is_aside=True)
    return account


def status_in(detail: Detail) -> int | None:
    """Return the HTTP status of an error from a field or from its type, or None if it has none."""
    for name in _STATUS_KEYS:
        value = detail.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
        if isinstance(value, str) and _STATUS_TEXT.fullmatch(value):
            return int(value)
    type_ = str(detail.get("type") or detail.get("error_type") or "")
    if _VALIDATION_TYPE.search(type_):
        return 400
    return 503 if type_ in _OVERLOADED else _STATUS_BY_TYPE.get(type_)
