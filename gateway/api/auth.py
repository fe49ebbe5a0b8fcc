"""Bearer key to tenant. Only SHA-256 digests are kept, and they are compared in constant time."""

import hashlib
import hmac
from collections.abc import Iterable

import msgspec
from litestar.types import Scope

from gateway.api.notes import RequestNotes
from gateway.clock import Clock
from gateway.domain import Tenant
from gateway.errors import InvalidKeyError
from gateway.fairshare.quota import TenantQuota


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a tenant."""

    sha256: str
    tenant: Tenant
    expires_at_s: float | None = None
    """Seconds since 1970."""


class KeyRing:
    """All keys, and the caps of the tenants that they belong to."""

    def __init__(self, keys: Iterable[Key], clock: Clock) -> None:
        self._keys = {key.sha256: key for key in keys}
        self._clock = clock
        tenants = {key.tenant.name: key.tenant for key in self._keys.values()}
        self._quotas = {name: TenantQuota(tenant) for name, tenant in tenants.items()}

    def authenticate(self, scope: Scope, notes: RequestNotes) -> tuple[Tenant, TenantQuota]:
        """The tenant of the key in the headers, and its caps; both are noted for the answer.

        Raises:
            InvalidKeyError: No key, unknown, or expired.
        """
        digest = hashlib.sha256(_presented(scope)).hexdigest()
        key = self._keys.get(digest)
        # The look-up is by a digest that nobody can steer; the comparison that decides is in constant time.
        if key is None or not hmac.compare_digest(digest, key.sha256):
            raise InvalidKeyError
        if key.expires_at_s is not None and self._clock.unix_s() >= key.expires_at_s:
            raise InvalidKeyError
        notes.tenant, notes.quota = key.tenant, self._quotas[key.tenant.name]
        return notes.tenant, notes.quota


def _presented(scope: Scope) -> bytes:
    """The key as sent: a bearer key, or Azure's own header.

    Raises:
        InvalidKeyError: There is none.
    """
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer" and key.strip():
                return key.strip()
        elif name == b"api-key" and value.strip():
            return value.strip()
    raise InvalidKeyError
