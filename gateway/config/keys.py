"""Tenants' keys: made once, kept as digests."""

import hashlib
import secrets

KEY_PREFIX = "fp-"


def new_key() -> str:
    """A key that nobody can guess."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def key_line(key: str) -> str:
    """The form in which a key stands in the file."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
