"""Implement leases: the part of a shared limit that one replica may use, with and without contact to the store.

Times are monotonic seconds of the replica itself: clocks of different machines are never compared.
"""

from collections.abc import Iterable
from typing import assert_never

import msgspec

from gateway.domain import OutagePolicy

BEAT_S = 0.25
"""Seconds between two heartbeats, and for which a granted call may be sent: after that, its token is void."""
LEASE_S = 3.0
"""Seconds for which a lease is valid without another heartbeat, counted from when its own heartbeat was sent."""
HOLD_S = 30.0
"""Seconds for which the store reserves the seats of a silent replica: any of them may be in use."""
LIVE_S = 1.5
"""Seconds after its last heartbeat for which a replica counts in the split: tenants may still wait there."""
SETTLE_S = 2.0
"""Seconds for which a store without state waits for reports before it grants unclaimed seats."""
SLOW_S = 0.8 * BEAT_S
"""Seconds above which the answer to a heartbeat counts as slow: its tokens are nearly void on arrival."""
JITTER_S = 0.1
"""Seconds by which the network may shift the calls of one replica against those of another."""
BURST_SHARE = 0.025


def token_rate(calls_per_10s: float) -> tuple[float, float]:
    """Return the rate per second and the burst at which to grant calls, so that no 10 s exceed `calls_per_10s`.

    A call granted now may be sent up to BEAT_S later and arrive another JITTER_S later.
    """
    burst, span_s = max(1.0, calls_per_10s * BURST_SHARE), 10 + BEAT_S + JITTER_S
    # With a burst of one, a call is granted once the previous one has leaked out, so one call per span needs no burst.
    return (calls_per_10s - burst if calls_per_10s > 1 else calls_per_10s) / span_s, burst


class Contact(msgspec.Struct):
    """Represent the state of the contact with the store, which all leases of this replica share."""

    heard_at_s: float | None = None
    """Time at which the last answered heartbeat was sent; None before the first answer."""
    is_refused: bool = False
    """True if the store itself appears to be down, for all replicas."""
    is_slow: bool = False
    """True if answers arrive too late for their tokens to be used."""
    replicas: int = 1
    """Number of replicas alive at the last answer, including this one."""
    rank: int = 0
    """Index of this replica among them."""

    def hear(self, replica: str, others: Iterable[str], *, sent_at_s: float, now_s: float) -> None:
        """Record the answer to the heartbeat of `replica` sent at `sent_at_s`, with the names of the `others` alive."""
        names = sorted([*others, replica])
        self.replicas, self.rank = len(names), names.index(replica)
        self.heard_at_s, self.is_slow = sent_at_s, now_s - sent_at_s > SLOW_S

    def is_valid(self, now_s: float) -> bool:
        """Return True if leases are valid at `now_s`."""
        return self.heard_at_s is not None and now_s - self.heard_at_s < 0.9 * LEASE_S

    def silence_s(self, now_s: float) -> float:
        """Return the seconds since the last answered heartbeat was sent; infinity if there was none."""
        return float("inf") if self.heard_at_s is None else now_s - self.heard_at_s


class Lease:
    """Represent the lease of one class of calls at one replica."""

    def __init__(self, *, seats_max: int, policy: OutagePolicy, contact: Contact) -> None:
        self.epoch = 0
        self.limit = 0
        self.tokens = 0
        self._tokens_until_s = float("-inf")
        self.seats_max = seats_max
        self._policy = policy
        self._contact = contact

    def renew(self, *, epoch: int, limit: int, tokens: int, sent_at_s: float) -> None:
        """Update the lease by the answer to the heartbeat sent at `sent_at_s`.

        Unused tokens of an earlier heartbeat are void: they were not returned to the store.
        """
        self.epoch, self.limit, self.tokens = epoch, limit, tokens
        self._tokens_until_s = sent_at_s + BEAT_S

    def seats(self, now_s: float) -> int:
        """Return how many seats may be held now.

        If more are held, none is granted until enough of them are released.
        """
        if self._contact.is_valid(now_s):
            return self.limit
        match self._policy:
            case OutagePolicy.CLOSED:
                return 0
            case OutagePolicy.OPEN:
                return self.seats_max
            case OutagePolicy.SHARE:
                return self._share(now_s)
            case _:
                assert_never(self._policy)

    def _share(self, now_s: float) -> int:
        """Return the seats during an outage: the lease while the store reserves it, then an equal part per replica.

        Replicas with more than their part reduce first; those with less grow to theirs only HOLD_S later.
        """
        silence_s = self._contact.silence_s(now_s)
        if self._contact.heard_at_s is None:
            return 0
        if silence_s < HOLD_S:
            return self.limit
        part = max(1, self.seats_max // self._contact.replicas)
        return min(self.limit, part) if silence_s < 2 * HOLD_S else part

    def has_token(self, now_s: float) -> bool:
        """Return True if a granted call may still be sent."""
        return self.tokens > 0 and now_s < self._tokens_until_s

    def parts(self, now_s: float) -> int | None:
        """Return the number of replicas that share the rate during an outage.

        None means that tokens arrive, or that nothing may be sent.
        """
        contact = self._contact
        brings_tokens = contact.is_valid(now_s) and not contact.is_refused and not contact.is_slow
        if self._policy is OutagePolicy.CLOSED or brings_tokens:
            return None
        if self._policy is OutagePolicy.OPEN:
            return 1
        return None if contact.heard_at_s is None else contact.replicas
