"""Authenticate requests by API key. Only SHA-256 digests of keys are stored, and compared in constant time."""

import hashlib
import hmac
from collections.abc import Iterable

import msgspec
from litestar.types import Scope

from gateway.admission.ref_counted_hold import Release, hold_running
from gateway.api.client_network import network_of
from gateway.api.failed_keys import FailedKeys
from gateway.api.key_acceptance import accept
from gateway.api.request_context import RequestContext
from gateway.clock import Clock
from gateway.connection_limits import Refusal
from gateway.domain import Tenant
from gateway.errors import FailedKeysError, InvalidKeyError
from gateway.events import ClientRefused, Observer
from gateway.fairshare.quota import TenantQuota

KEY_HEADERS = (b"api-key", b"x-api-key")
"""Headers that may hold a key besides `Authorization: Bearer`: used by Azure's and by Anthropic's clients."""
_MEMBER_DIGITS = 16
_KEY_ID_DIGITS = 12


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one key of a tenant."""

    sha256: str
    tenant: Tenant
    expires_at_s: float | None = None
    """Expiry in Unix seconds; None for a key that does not expire."""
    label: str | None = None
    """Name of the key in the log, chosen by its owner."""


def key_id(digest: str) -> str:
    """Return the public id of a key: a prefix of its digest, which does not reveal the key."""
    return f"key_{digest[:_KEY_ID_DIGITS]}"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the authenticated sender of a request."""

    tenant: Tenant
    quota: TenantQuota
    member: str
    """Unit of fairness within the tenant: a prefix of the key's digest, or a guest's network."""
    repeater: str
    """Scope of an Idempotency-Key: the tenant, or for a guest its network and key together."""


class KeyRing:
    """Hold all keys, and the quotas of the tenants that own them.

    The guest tenant, if there is one, owns every key that the configuration does not list. All guests share one quota
    and one weight; between them the fair queue schedules by network.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        clock: Clock,
        *,
        guest: Tenant | None = None,
        observe: Observer = lambda _event: None,
    ) -> None:
        """Create the key ring; `observe` receives the refusals that no exchange reports."""
        self._failed_keys: FailedKeys | None = None
        self._clock = clock
        self._observe = observe
        self.quotas: dict[str, TenantQuota] = {}
        self.replace(keys, guest=guest)

    def limit_failures(self, per_minute: int | None) -> None:
        """Allow each network `per_minute` wrong keys per minute, or any number with None."""
        self._failed_keys = None if per_minute is None else FailedKeys(per_minute)

    def replace(self, keys: Iterable[Key], *, guest: Tenant | None) -> None:
        """Replace all keys and tenants at once.

        A tenant that stays keeps the usage of its quota. A removed tenant's usage is kept until it has decayed: a
        tenant that is removed by mistake and restored does not start at zero, and its requests in flight still count.
        """
        self._keys = {key.sha256: key for key in keys}
        self._guest = guest
        tenants = {key.tenant.name: key.tenant for key in self._keys.values()}
        if guest is not None:
            tenants[guest.name] = guest
        now_s = self._clock.monotonic_s()
        quotas = {name: quota for name, quota in self.quotas.items() if name in tenants or quota.is_in_use(now_s)}
        for name, tenant in tenants.items():
            if name in quotas:
                quotas[name].refit(tenant, now_s)
            else:
                quotas[name] = TenantQuota(tenant)
        self.quotas = quotas

    def hold_place(self, tenant: str) -> Release:
        """Count running work of a tenant as in flight; return the function that ends this.

        Work of a tenant that is not in the configuration counts towards no quota.
        """
        quota = self.quotas.get(tenant)
        return (lambda: None) if quota is None else hold_running(quota, self._clock)

    def authenticate(self, scope: Scope, context: RequestContext) -> Caller:
        """Return the caller that the key in the headers belongs to; store its tenant and quota in `context`.

        Raises:
            InvalidKeyError: The key is missing, unknown or expired.
            FailedKeysError: The same, and too many wrong keys came from this network.
        """
        presented = _presented(scope)
        digest = hashlib.sha256(presented or b"").hexdigest()
        if context.record is not None and presented is not None:
            # Recorded before the key is checked, so that a rejected key can be found in the log.
            context.record.key_id, context.record.key_label = key_id(digest), self._label(digest)
        tenant = None if presented is None else self._tenant(digest)
        if tenant is None:
            public_id = "" if presented is None else key_id(digest)
            # Checked after the digest, so that a valid key works even if wrong keys come from the same network.
            self._check_failures(scope, context, public_id)
            if context.record is None:
                self._refused(Refusal.KEY, context, public_id)
            raise InvalidKeyError(is_missing=presented is None)
        accept(scope, tenant.name, is_guest=tenant is self._guest)
        context.tenant, context.quota = tenant, self.quotas[tenant.name]
        member, repeater = digest[:_MEMBER_DIGITS], tenant.name
        if tenant is self._guest:
            # Scheduling guests by key would give a client one share for each key that it makes up.
            member = network_of(scope)
            repeater = f"{tenant.name}\0{member}\0{digest}"
        return Caller(tenant=tenant, quota=context.quota, member=member, repeater=repeater)

    def _check_failures(self, scope: Scope, context: RequestContext, public_id: str) -> None:
        if self._failed_keys is None:
            return
        wait_s = self._failed_keys.fail(network_of(scope), self._clock.monotonic_s())
        if wait_s is not None:
            self._refused(Refusal.FAILED_KEYS, context, public_id)
            raise FailedKeysError(retry_after_s=wait_s)

    def _refused(self, reason: Refusal, context: RequestContext, public_id: str) -> None:
        at_s = self._clock.monotonic_s()
        self._observe(ClientRefused(reason=reason, request_id=context.request_id, at_s=at_s, key_id=public_id))

    def _label(self, digest: str) -> str | None:
        key = self._keys.get(digest)
        return None if key is None else key.label

    def _tenant(self, digest: str) -> Tenant | None:
        """Return the owner of a key: the guest tenant, or None without one, if it is unknown; None if it is expired."""
        key = self._keys.get(digest)
        # The lookup is by a digest, which a client cannot choose; the decision is a constant-time comparison.
        if key is None or not hmac.compare_digest(digest, key.sha256):
            return self._guest
        if key.expires_at_s is not None and self._clock.unix_s() >= key.expires_at_s:
            return None
        return key.tenant


def _presented(scope: Scope) -> bytes | None:
    """Return the key from the header with the highest precedence that holds one; None if none does.

    `Authorization: Bearer` precedes `KEY_HEADERS`. The order of different headers in the request is ignored, because
    proxies change it.
    """
    others: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer" and key.strip():
                return key.strip()
        elif name in KEY_HEADERS and value.strip():
            others.setdefault(name, value.strip())
    return next((others[name] for name in KEY_HEADERS if name in others), None)
