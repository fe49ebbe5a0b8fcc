"""What a client says of a request that it may send twice.

openai-python and openai-node send no `Idempotency-Key` by themselves; users set it for a call, and the SDK's retries of
that call carry it along.
"""

import hashlib
import re

from litestar.types import Scope

from gateway.errors import InvalidRequestError
from gateway.exchange.idempotency import Name, Repeatable

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


def name_of(scope: Scope, *, repeater: str, path: str) -> Name | None:
    """By what the request may be known again, within those of one `repeater`; None where it does not say so rightly."""
    key = _key_in(scope)
    return (repeater, path, key.decode()) if key is not None and _KEY.fullmatch(key) else None


def repeatable_of(scope: Scope, *, repeater: str, path: str, body: bytes | bytearray) -> Repeatable | None:
    """By what it may be known again, and what is asked; None where it does not say that it may be.

    Raises:
        InvalidRequestError: The key is none.
    """
    if _key_in(scope) is None:
        return None
    name = name_of(scope, repeater=repeater, path=path)
    if name is None:
        raise InvalidRequestError("An Idempotency-Key has 1 to 255 visible ASCII characters.", code="invalid_value")
    return Repeatable(repeater=repeater, path=path, key=name[2], fingerprint=hashlib.sha256(body).digest())


def _key_in(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)
