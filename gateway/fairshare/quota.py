"""The hard caps of one tenant, on top of its share: requests in flight, requests a minute, tokens a minute.

Each per-minute cap is a bucket that fills evenly: a minute's worth may be spent at once after a quiet minute. Tokens
are reserved by an estimate when a request comes and settled by its real usage, so that requests under way count. What
other replicas let in counts as soon as they have told.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from gateway.domain import Tenant
from gateway.errors import TenantLimitError
from gateway.fairshare.hold_times import HoldTimes


class Bucket:
    """So much a minute, at most a minute's worth at once. The level may go below zero: debts are paid by waiting."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at_s: float | None = None

    def level(self, now_s: float) -> float:
        """What may be taken now."""
        if self._at_s is not None and now_s > self._at_s:
            self._level = min(self.per_minute, self._level + (now_s - self._at_s) * self.per_minute / 60)
        self._at_s = now_s
        return self._level

    def refit(self, per_minute: int, now_s: float) -> None:
        """So much a minute from now on. It is as full as before, and so full again at the same time.

        To keep the amount instead would make a debt of what a larger bucket allowed, or lift the cap of whoever is
        given a smaller bucket and the larger one again.
        """
        self._level = self.level(now_s) * per_minute / self.per_minute
        self.per_minute = per_minute

    def take(self, amount: float, now_s: float) -> None:
        """Take, or with a negative amount give back."""
        self._level = min(self.per_minute, self.level(now_s) - amount)

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until this amount is there."""
        return max(0.0, amount - self.level(now_s)) * 60 / self.per_minute

    def reset_s(self, now_s: float) -> float:
        """Seconds until it is full."""
        return self.wait_s(self.per_minute, now_s)


class QuotaUse(msgspec.Struct, frozen=True, array_like=True):
    """What one tenant used of its caps at one replica."""

    in_flight: int
    requests: float
    """Since it was last idle there, and so are the tokens."""
    tokens: float


_UNUSED = QuotaUse(0, 0.0, 0.0)


class BucketReading(msgspec.Struct, frozen=True, kw_only=True):
    """A cap as the rate limit headers show it."""

    limit: int
    remaining: int
    reset_s: float


class TenantQuota:
    """One tenant's caps and what of them is used."""

    def __init__(self, tenant: Tenant) -> None:
        self._holds = HoldTimes()
        self._in_flight_elsewhere = 0
        self._requests_used = 0.0
        self._tokens_used = 0.0
        self._tokens_asked = 1
        """The number of tokens that the latest request asked for."""
        self._told: dict[str, QuotaUse] = {}
        """What other replicas told last."""
        self._in_flight_max = tenant.max_in_flight
        self._requests = Bucket(tenant.requests_per_minute) if tenant.requests_per_minute else None
        self._tokens = Bucket(tenant.tokens_per_minute) if tenant.tokens_per_minute else None

    def refit(self, tenant: Tenant, now_s: float) -> None:
        """Other caps from now on, for requests under way as well; what was used of them stays used."""
        self._in_flight_max = tenant.max_in_flight
        self._requests = _refitted(self._requests, tenant.requests_per_minute, now_s)
        self._tokens = _refitted(self._tokens, tenant.tokens_per_minute, now_s)

    def enter(self, now_s: float) -> None:
        """Count one request, and one in flight until `leave`.

        Raises:
            TenantLimitError: A cap is reached, and nothing was counted.
        """
        maximum, elsewhere = self._in_flight_max, self._in_flight_elsewhere
        if maximum is not None and len(self._holds) + elsewhere >= maximum:
            wait_s = self._holds.next_end_s(now_s, elsewhere=elsewhere)
            raise TenantLimitError(limit="max_in_flight", maximum=maximum, retry_after_s=wait_s)
        self.count(now_s)
        self._holds.begin(now_s)

    def count(self, now_s: float) -> None:
        """Count one request that takes no place in flight of its own.

        Raises:
            TenantLimitError: The cap is reached, and nothing was counted.
        """
        _check(self._requests, "requests_per_minute", 1, now_s)
        if not self.is_in_use(now_s):
            self._requests_used = self._tokens_used = 0.0
        self._requests_used += 1
        if self._requests:
            self._requests.take(1, now_s)

    def hold(self, now_s: float) -> None:
        """Count one request in flight until `leave`, whatever the cap, because it runs already."""
        self._holds.begin(now_s)

    def leave(self, now_s: float, *, entered_at_s: float) -> None:
        """Give back the place in flight of the request that entered then."""
        self._holds.end(entered_at_s, now_s)

    def check_debt(self, now_s: float) -> None:
        """Check that a token is left, since without one no request can be served, whatever it asks for.

        Raises:
            TenantLimitError: There is none. It says when there are as many as the latest request asked for.
        """
        if self._tokens and self._tokens.level(now_s) < 1:
            _check(self._tokens, "tokens_per_minute", min(self._tokens_asked, self._tokens.per_minute), now_s)

    def reserve(self, tokens: int, now_s: float) -> int:
        """Return the tokens that a request reserved, to be given to `settle`.

        A request larger than a whole minute's tokens waits for a full bucket, not for ever.

        Raises:
            TenantLimitError: The cap is reached, and nothing was reserved.
        """
        if self._tokens is None:
            return 0
        tokens = min(tokens, self._tokens.per_minute)
        self._tokens_asked = max(1, tokens)
        _check(self._tokens, "tokens_per_minute", tokens, now_s)
        self._take_tokens(tokens, now_s)
        return tokens

    def settle(self, reserved: int, used: int, now_s: float) -> None:
        """Replace the tokens that a request reserved by those that it used."""
        self._take_tokens(used - reserved, now_s)

    def _take_tokens(self, tokens: int, now_s: float) -> None:
        if self._tokens:
            self._tokens_used += tokens
            self._tokens.take(tokens, now_s)

    def is_in_use(self, now_s: float) -> bool:
        """Whether anything of it is in flight here, or not yet filled up again."""
        buckets = [bucket for bucket in (self._requests, self._tokens) if bucket is not None]
        return bool(self._holds) or any(bucket.reset_s(now_s) > 0 for bucket in buckets)

    def use(self) -> QuotaUse:
        """What was used here, for other replicas."""
        return QuotaUse(len(self._holds), self._requests_used, self._tokens_used)

    def forget_in_flight_elsewhere(self) -> None:
        """Nobody tells any more what is in flight at other replicas."""
        self._in_flight_elsewhere = 0

    def note_elsewhere(self, uses: Mapping[str, QuotaUse], known: AbstractSet[str], now_s: float) -> None:
        """What other replicas used, by replica; of one that was not `known` before, nobody can say what is new."""
        for replica, use in uses.items():
            before = self._told.get(replica, _UNUSED if replica in known else use)
            if use.requests < before.requests:
                before = _UNUSED
            if self._requests:
                self._requests.take(use.requests - before.requests, now_s)
            if self._tokens:
                self._tokens.take(use.tokens - before.tokens, now_s)
        self._told = dict(uses)
        self._in_flight_elsewhere = sum(use.in_flight for use in uses.values())

    def requests_reading(self, now_s: float) -> BucketReading | None:
        """The requests cap, where the tenant has one."""
        return _reading(self._requests, now_s)

    def tokens_reading(self, now_s: float) -> BucketReading | None:
        """The tokens cap, where the tenant has one."""
        return _reading(self._tokens, now_s)


def _check(bucket: Bucket | None, name: str, amount: int, now_s: float) -> None:
    if bucket and (wait_s := bucket.wait_s(amount, now_s)) > 0:
        raise TenantLimitError(limit=name, maximum=bucket.per_minute, retry_after_s=wait_s)


def _refitted(bucket: Bucket | None, per_minute: int | None, now_s: float) -> Bucket | None:
    if bucket is None or per_minute is None:
        return Bucket(per_minute) if per_minute else None
    bucket.refit(per_minute, now_s)
    return bucket


def _reading(bucket: Bucket | None, now_s: float) -> BucketReading | None:
    if bucket is None:
        return None
    remaining = max(0, int(bucket.level(now_s)))
    return BucketReading(limit=bucket.per_minute, remaining=remaining, reset_s=bucket.reset_s(now_s))
