"""What one replica may use of a limit that all share: its lease, and its part of the limit while nobody renews that.

Times are monotonic seconds of the replica itself: clocks of different machines are never compared.
"""

from typing import assert_never

import msgspec

from gateway.domain import OutagePolicy

BEAT_S = 0.25
"""Between two heartbeats. Also how long a granted call may be sent: what is not sent by then is lost."""
LEASE_S = 3.0
"""How long a lease holds without another heartbeat, counted from the sending of the one that brought it."""
HOLD_S = 30.0
"""How long the store keeps seats for a replica that fell silent: any of them may be in use."""
LIVE_S = 1.5
"""How long after its last heartbeat a replica still counts for the split: its tenants wait for it there."""
SETTLE_S = 2.0
"""How long a store without memory waits for others to report, before it lends what nobody claims."""
JITTER_S = 0.1
"""By how much the network may bunch the calls of different replicas."""
BURST_SHARE = 0.025


def token_rate(calls_per_10s: float) -> tuple[float, float]:
    """The even rate per second, and the burst, at which calls may be granted so that no 10 s see more than allowed.

    Granted at once, a call may be sent up to BEAT_S later and arrive JITTER_S later still.
    """
    burst, span_s = max(1.0, calls_per_10s * BURST_SHARE), 10 + BEAT_S + JITTER_S
    # With a burst of one a call is granted when the last one has leaked out, so one in such a span needs no burst.
    return (calls_per_10s - burst if calls_per_10s > 1 else calls_per_10s) / span_s, burst


class Contact(msgspec.Struct):
    """How this replica stands with the store. One for all its leases."""

    heard_at_s: float | None = None
    """When the last heartbeat that was answered was sent."""
    is_refused: bool = False
    """Whether the store itself is down, for all replicas, as far as can be told from here."""
    is_slow: bool = False
    """Whether its answers come too late for their tokens."""
    replicas: int = 1
    """Alive when the store was last heard of, this one included."""
    rank: int = 0
    """This one's place among them."""

    def is_valid(self, now_s: float) -> bool:
        """Whether leases hold."""
        return self.heard_at_s is not None and now_s - self.heard_at_s < 0.9 * LEASE_S

    def silence_s(self, now_s: float) -> float:
        """Since when the store was not heard."""
        return float("inf") if self.heard_at_s is None else now_s - self.heard_at_s


class Lease:
    """One class of calls at one replica."""

    def __init__(self, *, seats_max: int, policy: OutagePolicy, contact: Contact) -> None:
        self.epoch = 0
        self.limit = 0
        self.tokens = 0
        self._tokens_until_s = float("-inf")
        self.seats_max = seats_max
        self._policy = policy
        self._contact = contact

    def renew(self, *, epoch: int, limit: int, tokens: int, sent_at_s: float) -> None:
        """A heartbeat sent at `sent_at_s` was answered. Tokens of an earlier one are void: they were not returned."""
        self.epoch, self.limit, self.tokens = epoch, limit, tokens
        self._tokens_until_s = sent_at_s + BEAT_S

    def seats(self, now_s: float) -> int:
        """How many may be held now. Fewer than are held binds all the same: none is granted until some came back."""
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
        """The lease as long as the store keeps it, then a part for each replica.

        Those with more than their part let go first, and those with less take it up as much later.
        """
        silence_s = self._contact.silence_s(now_s)
        if self._contact.heard_at_s is None:
            return 0
        if silence_s < HOLD_S:
            return self.limit
        part = max(1, self.seats_max // self._contact.replicas)
        return min(self.limit, part) if silence_s < 2 * HOLD_S else part

    def has_token(self, now_s: float) -> bool:
        """Whether a call was granted that may still be sent."""
        return self.tokens > 0 and now_s < self._tokens_until_s

    def parts(self, now_s: float) -> int | None:
        """Among how many the whole rate is divided while no tokens come; None where they come, or nothing is sent."""
        contact = self._contact
        brings_tokens = contact.is_valid(now_s) and not contact.is_refused and not contact.is_slow
        if self._policy is OutagePolicy.CLOSED or brings_tokens:
            return None
        if self._policy is OutagePolicy.OPEN:
            return 1
        return None if contact.heard_at_s is None else contact.replicas
