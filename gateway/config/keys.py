"""Generate keys for tenants, and their digests for the configuration file."""

import hashlib
import secrets

KEY_PREFIX = "fp-"


def new_key() -> str:
    """Return a new key with 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def key_line(key: str) -> str:
    """Return the SHA-256 digest of a key as written in the configuration file."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
