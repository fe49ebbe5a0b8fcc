"""What a client says of a request that it may send twice.

openai-python and openai-node send no `Idempotency-Key` by themselves; users set it for a call, and the SDK's retries of
that call carry it along.
"""

import hashlib
import re

from litestar.types import Scope

from gateway.api.paths import endpoint_of
from gateway.domain import Api
from gateway.errors import InvalidRequestError
from gateway.exchange.idempotency import Name, Repeatable
from gateway.wire.request_head import header_values

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def name_of(scope: Scope, api: Api, *, repeater: str) -> Name | None:
    """By what the request says that it may be known again, within those of one `repeater`; None where it does not.

    The key is what came: whether it is one, `repeatable_of` tells. No answer is kept under one that is none.
    """
    keys = header_values(scope["headers"], b"idempotency-key")
    if not keys:
        return None
    return (repeater, f"{endpoint_of(scope) or ''}{api.value}", keys[0].decode("latin-1"))


def repeatable_of(name: Name, body: bytes | bytearray) -> Repeatable:
    """By what it may be known again, and what is asked.

    Raises:
        InvalidRequestError: The key is none.
    """
    repeater, path, key = name
    if not _KEY.fullmatch(key):
        raise InvalidRequestError("An Idempotency-Key has 1 to 255 visible ASCII characters.", code="invalid_value")
    return Repeatable(repeater=repeater, path=path, key=key, fingerprint=hashlib.sha256(body).digest())
