"""What a client says of a request that it may send twice.

openai-python and openai-node send no `Idempotency-Key` by themselves; users set it for a call, and the SDK's retries of
that call carry it along.
"""

import hashlib
import re

from litestar.types import Scope

from gateway.errors import InvalidRequestError
from gateway.exchange.idempotency import Repeatable

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


def repeatable_of(scope: Scope, *, repeater: str, path: str, body: bytes | bytearray) -> Repeatable | None:
    """By what the request may be known again, within those of one `repeater`; None where it does not say so.

    Raises:
        InvalidRequestError: The key is none.
    """
    key = next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequestError("An Idempotency-Key has 1 to 255 visible ASCII characters.", code="invalid_value")
    return Repeatable(repeater=repeater, path=path, key=key.decode(), fingerprint=hashlib.sha256(body).digest())
