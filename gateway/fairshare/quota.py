"""Enforce the caps of one tenant, beside its share: requests in flight, requests and tokens per minute.

Each per-minute cap is a token bucket: after a quiet minute, a whole minute's amount may be used at once. Tokens are
reserved by an estimate when a request arrives and settled by its real usage, so that requests in flight count. Requests
at other replicas count as soon as those have reported them.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from gateway.domain import Tenant
from gateway.errors import TenantLimitError
from gateway.fairshare.hold_times import HoldTimes


class Bucket:
    """Implement a token bucket that holds at most one minute's amount.

    The level may be negative: a debt is paid off by waiting.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at_s: float | None = None

    def level(self, now_s: float) -> float:
        """Return the amount available at `now_s`."""
        if self._at_s is not None and now_s > self._at_s:
            self._level = min(self.per_minute, self._level + (now_s - self._at_s) * self.per_minute / 60)
        self._at_s = now_s
        return self._level

    def refit(self, per_minute: int, now_s: float) -> None:
        """Change the amount per minute; the relative level, and so the time until it is full, stays the same.

        Keeping the absolute level instead would turn use that a larger bucket allowed into a debt, or lift the cap of a
        tenant that gets a smaller bucket and then the larger one again.
        """
        self._level = self.level(now_s) * per_minute / self.per_minute
        self.per_minute = per_minute

    def take(self, amount: float, now_s: float) -> None:
        """Take an amount; a negative amount is given back."""
        self._level = min(self.per_minute, self.level(now_s) - amount)

    def wait_s(self, amount: float, now_s: float) -> float:
        """Return the seconds until this amount is available."""
        return max(0.0, amount - self.level(now_s)) * 60 / self.per_minute

    def reset_s(self, now_s: float) -> float:
        """Return the seconds until the bucket is full."""
        return self.wait_s(self.per_minute, now_s)


class QuotaUse(msgspec.Struct, frozen=True, array_like=True):
    """Represent what one tenant used of its caps at one replica."""

    in_flight: int
    requests: float
    """Number of requests since the tenant was last idle there; `tokens` counts from the same time."""
    tokens: float


_UNUSED = QuotaUse(0, 0.0, 0.0)


class BucketReading(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a cap as the rate limit headers show it."""

    limit: int
    remaining: int
    reset_s: float


class TenantQuota:
    """Track one tenant's caps and their use."""

    def __init__(self, tenant: Tenant) -> None:
        self._holds = HoldTimes()
        self._in_flight_elsewhere = 0
        self._requests_used = 0.0
        self._tokens_used = 0.0
        self._tokens_asked = 1
        """Number of tokens that the latest request asked for."""
        self._told: dict[str, QuotaUse] = {}
        """Last report of each other replica."""
        self._in_flight_max = tenant.max_in_flight
        self._requests = Bucket(tenant.requests_per_minute) if tenant.requests_per_minute else None
        self._tokens = Bucket(tenant.tokens_per_minute) if tenant.tokens_per_minute else None

    def refit(self, tenant: Tenant, now_s: float) -> None:
        """Change the caps, also for requests in flight; what was used of them stays used."""
        self._in_flight_max = tenant.max_in_flight
        self._requests = _refitted(self._requests, tenant.requests_per_minute, now_s)
        self._tokens = _refitted(self._tokens, tenant.tokens_per_minute, now_s)

    def enter(self, now_s: float) -> None:
        """Count one request, and one in flight until `leave`.

        Raises:
            TenantLimitError: A cap is reached, and nothing was counted.
        """
        maximum, remote = self._in_flight_max, self._in_flight_elsewhere
        if maximum is not None and len(self._holds) + remote >= maximum:
            wait_s = self._holds.next_end_s(now_s, remote=remote)
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
        """Count one request in flight until `leave`, regardless of the cap, because it already runs."""
        self._holds.begin(now_s)

    def leave(self, now_s: float, *, entered_at_s: float) -> None:
        """Release the place in flight of the request that entered at `entered_at_s`."""
        self._holds.end(entered_at_s, now_s)

    def check_debt(self, now_s: float) -> None:
        """Check that at least one token is left: without one, no request can be served.

        Raises:
            TenantLimitError: No token is left. It holds the seconds until there are as many as the latest request asked
                for.
        """
        if self._tokens and self._tokens.level(now_s) < 1:
            _check(self._tokens, "tokens_per_minute", min(self._tokens_asked, self._tokens.per_minute), now_s)

    def reserve(self, tokens: int, now_s: float) -> int:
        """Reserve tokens for a request, and return how many, to be passed to `settle`.

        A request for more than a minute's tokens reserves a full bucket, so that it does not wait forever.

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
        """Return True if requests are in flight here, or a bucket is not full."""
        buckets = [bucket for bucket in (self._requests, self._tokens) if bucket is not None]
        return bool(self._holds) or any(bucket.reset_s(now_s) > 0 for bucket in buckets)

    def use(self) -> QuotaUse:
        """Return the use at this replica, for reports to other replicas."""
        return QuotaUse(len(self._holds), self._requests_used, self._tokens_used)

    def forget_in_flight_elsewhere(self) -> None:
        """Assume no requests in flight at other replicas: they no longer report."""
        self._in_flight_elsewhere = 0

    def note_remote_usage(self, uses: Mapping[str, QuotaUse], known: AbstractSet[str], now_s: float) -> None:
        """Record the use at other replicas.

        `uses` is keyed by replica. The first report of a replica that is not in `known` changes no bucket, because how
        much of its use is recent is unknown.
        """
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
        """Return the requests cap; None if the tenant has none."""
        return _reading(self._requests, now_s)

    def tokens_reading(self, now_s: float) -> BucketReading | None:
        """Return the tokens cap; None if the tenant has none."""
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
