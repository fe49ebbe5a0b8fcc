"""Read the `Idempotency-Key` of a request that a client may retry.

openai-python and openai-node send no `Idempotency-Key` by default. Users set it for a call, and the SDK sends it with
each retry of that call.
"""

import hashlib
import re

from litestar.types import Scope

from gateway.api.paths import endpoint_of
from gateway.errors import InvalidRequestError
from gateway.exchange.idempotency import Name, Repeatable
from gateway.wire.request_head import header_values

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def name_of(scope: Scope, path: str, *, repeater: str) -> Name | None:
    """Return the name of a repeatable request to a path, unique within its `repeater`; None without an Idempotency-Key.

    The key is not validated here but in `repeatable_of`, before an answer is kept under it.
    """
    keys = header_values(scope["headers"], b"idempotency-key")
    if not keys:
        return None
    return (repeater, f"{endpoint_of(scope) or ''}{path}", keys[0].decode("latin-1"))


def repeatable_of(name: Name, body: bytes | bytearray) -> Repeatable:
    """Return the identity of a repeatable request: its name, and a fingerprint (SHA-256) of its body.

    Raises:
        InvalidRequestError: The key is not 1 to 255 visible ASCII characters.
    """
    repeater, path, key = name
    if not _KEY.fullmatch(key):
        raise InvalidRequestError(
            "An Idempotency-Key must consist of 1 to 255 visible ASCII characters.", code="invalid_value"
        )
    return Repeatable(repeater=repeater, path=path, key=key, fingerprint=hashlib.sha256(body).digest())
