"""Bearer key to tenant. Only SHA-256 digests are kept, and they are compared in constant time."""

import hashlib
import hmac
from collections.abc import Iterable

import msgspec
from litestar.types import Scope

from gateway.admission.shared_hold import Release, hold_running
from gateway.api.acceptance import accept
from gateway.api.client_network import network_of
from gateway.api.failed_keys import FailedKeys
from gateway.api.notes import RequestNotes
from gateway.clock import Clock
from gateway.connections import Refusal
from gateway.domain import Tenant
from gateway.errors import FailedKeysError, InvalidKeyError
from gateway.exchange.events import ClientRefused, Observer
from gateway.fairshare.quota import TenantQuota

KEY_HEADERS = (b"api-key", b"x-api-key")
"""Headers that may hold a key beside `Authorization: Bearer`: those of Azure's and of Anthropic's clients."""
_MEMBER_DIGITS = 16
_KEY_ID_DIGITS = 12


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a tenant."""

    sha256: str
    tenant: Tenant
    expires_at_s: float | None = None
    """Seconds since 1970."""
    label: str | None = None
    """What its owner calls it, for the log."""


def key_id(digest: str) -> str:
    """Return the public id of a key: the beginning of its digest, which tells nothing of the key itself."""
    return f"key_{digest[:_KEY_ID_DIGITS]}"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Describe the sender of a request."""

    tenant: Tenant
    quota: TenantQuota
    member: str
    """The member of the tenant that takes turns: a part of the key's digest, or the network of a guest."""
    repeater: str
    """The scope of an Idempotency-Key: the tenant, or of a guest its network and key together."""


class KeyRing:
    """All keys, and the caps of the tenants that they belong to.

    The guest tenant, if there is one, owns every key that the file does not name. All guests share what one tenant has,
    and their networks take turns within it.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        clock: Clock,
        *,
        guest: Tenant | None = None,
        observe: Observer = lambda _event: None,
    ) -> None:
        """Create the ring; `observe` receives the refusals that no exchange reports."""
        self._failed_keys: FailedKeys | None = None
        self._clock = clock
        self._observe = observe
        self.quotas: dict[str, TenantQuota] = {}
        self.replace(keys, guest=guest)

    def limit_failures(self, per_minute: int | None) -> None:
        """Judge at most `per_minute` wrong keys of one network in a minute; with None, judge all of them."""
        self._failed_keys = None if per_minute is None else FailedKeys(per_minute)

    def replace(self, keys: Iterable[Key], *, guest: Tenant | None) -> None:
        """Replace all keys and tenants at once.

        A tenant that stays keeps what it used of its caps. A removed one keeps it until it is paid off: one that is
        taken out by mistake and put back does not begin anew, and its requests under way still count.
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
        """Count work of a tenant that runs already as in flight; return what ends that.

        Work of a tenant that the configuration does not name counts towards no cap.
        """
        quota = self.quotas.get(tenant)
        return (lambda: None) if quota is None else hold_running(quota, self._clock)

    def authenticate(self, scope: Scope, notes: RequestNotes) -> Caller:
        """Return the tenant of the key in the headers, and its caps; note both for the answer.

        Raises:
            InvalidKeyError: No key, or one that is unknown or expired.
            FailedKeysError: The same, and too many of them came from this address.
        """
        presented = _presented(scope)
        digest = hashlib.sha256(presented or b"").hexdigest()
        if notes.record is not None and presented is not None:
            # Noted before the key is judged, so that a rejected key can be found in the log.
            notes.record.key_id, notes.record.key_label = key_id(digest), self._label(digest)
        tenant = None if presented is None else self._tenant(digest)
        if tenant is None:
            public_id = "" if presented is None else key_id(digest)
            # The limit is checked after the digest, so that a good key works whatever else comes from its network.
            self._check_failures(scope, notes, public_id)
            if notes.record is None:
                self._refused(Refusal.KEY, notes, public_id)
            raise InvalidKeyError(is_missing=presented is None)
        accept(scope, is_guest=tenant is self._guest)
        notes.tenant, notes.quota = tenant, self.quotas[tenant.name]
        member, repeater = digest[:_MEMBER_DIGITS], tenant.name
        if tenant is self._guest:
            # Turns by key would give one client as many turns as it makes up keys.
            member = network_of(scope)
            repeater = f"{tenant.name}\0{member}\0{digest}"
        return Caller(tenant=tenant, quota=notes.quota, member=member, repeater=repeater)

    def _check_failures(self, scope: Scope, notes: RequestNotes, public_id: str) -> None:
        if self._failed_keys is None:
            return
        wait_s = self._failed_keys.fail(network_of(scope), self._clock.monotonic_s())
        if wait_s is not None:
            self._refused(Refusal.FAILED_KEYS, notes, public_id)
            raise FailedKeysError(retry_after_s=wait_s)

    def _refused(self, reason: Refusal, notes: RequestNotes, public_id: str) -> None:
        at_s = self._clock.monotonic_s()
        self._observe(ClientRefused(reason=reason, request_id=notes.request_id, at_s=at_s, key_id=public_id))

    def _label(self, digest: str) -> str | None:
        key = self._keys.get(digest)
        return None if key is None else key.label

    def _tenant(self, digest: str) -> Tenant | None:
        """Return whose key it is; None if it is unknown or expired."""
        key = self._keys.get(digest)
        # The look-up is by a digest that nobody can steer; the comparison that decides is in constant time.
        if key is None or not hmac.compare_digest(digest, key.sha256):
            return self._guest
        if key.expires_at_s is not None and self._clock.unix_s() >= key.expires_at_s:
            return None
        return key.tenant


def _presented(scope: Scope) -> bytes | None:
    """Return the key as sent: that of the first header in the order of precedence which holds one; None without one.

    A bearer key comes first, then `KEY_HEADERS`. The order of the lines does not count: proxies change it.
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
