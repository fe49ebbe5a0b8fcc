"""Replicas, a network that loses, delays and repeats, and a store: everything that leases have to survive, in no time.

The replicas act on production's `Lease` and `Contact`; the store is the twin of its script.
"""

import heapq
import itertools
from dataclasses import dataclass, field

from gateway.admission.lease_store import Ask, Beat, BeatAnswer, OvertakenError
from gateway.domain import OutagePolicy
from gateway.fairshare.lease import HOLD_S, LEASE_S, LIVE_S, SETTLE_S, Contact, Lease
from tests.models.lease_table import LeaseTable

CLASS = "work"
TTL_S = 0.9 * LEASE_S


class UnsafeError(AssertionError):
    """More may be in use than there is."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a world is like."""

    seats: int = 8
    policy: OutagePolicy = OutagePolicy.CLOSED
    hold_s: float = HOLD_S
    stream_s_max: float = HOLD_S - TTL_S


@dataclass(frozen=True, kw_only=True)
class Way:
    """What becomes of one heartbeat: seconds to the store and back, None where it is lost on the way."""

    there_s: float | None = 0.0
    back_s: float | None = 0.0
    again_s: float | None = None
    """When a copy of it comes, which nobody waits for."""


class Replica:
    """One process."""

    def __init__(self, name: str, incarnation: int, rules: Rules) -> None:
        self.name = name
        self.incarnation = f"{incarnation:06}"
        self.contact = Contact()
        self.lease = Lease(seats_max=rules.seats, policy=rules.policy, contact=self.contact)
        self.ends_s: list[float] = []
        """When each of its streams ends."""
        self.number = 0
        self.is_cut_off = False

    @property
    def held(self) -> int:
        return len(self.ends_s)

    def used(self, now_s: float) -> int:
        """What it uses or may begin to use at this moment."""
        return max(self.lease.seats(now_s), self.held)


@dataclass(order=True)
class Message:
    """On its way."""

    at_s: float
    order: int
    beat: Beat = field(compare=False)
    sender: Replica = field(compare=False)
    sent_at_s: float = field(compare=False)
    back_s: float | None = field(compare=False)
    answer: BeatAnswer | None = field(default=None, compare=False)


class World:
    """All of it. After each event it makes sure that nothing is used twice."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now_s = 1000.0
        self.table = LeaseTable()
        self.replicas: dict[str, Replica] = {}
        self.orphans_s: list[float] = []
        """When the jobs of killed processes end: Runpod works on without them."""
        self.used_most = 0
        self._messages: list[Message] = []
        self._orders = itertools.count()
        self._incarnations = itertools.count()

    # What happens.

    def start(self, name: str) -> None:
        """A process begins, whether or not there was one of this name."""
        self.kill(name)
        self.replicas[name] = Replica(name, next(self._incarnations), self.rules)

    def kill(self, name: str) -> None:
        """It ends without a word."""
        if (gone := self.replicas.pop(name, None)) is not None:
            self.orphans_s += gone.ends_s

    def leave(self, name: str, there_s: float | None) -> None:
        """It ends with its streams, and says goodbye."""
        gone = self.replicas.pop(name)
        gone.number += 1
        if not gone.is_cut_off and there_s is not None:
            self._post(gone, self._beat(gone, None), there_s, None)

    def heartbeat(self, name: str, target: int, way: Way) -> None:
        """It says what it has, and waits no longer for an answer to what it said before."""
        sender = self.replicas[name]
        sender.number += 1
        beat = self._beat(sender, target)
        if sender.is_cut_off:
            return
        if way.there_s is not None:
            self._post(sender, beat, way.there_s, way.back_s)
        if way.again_s is not None:
            self._post(sender, beat, way.again_s, None)

    def dispatch(self, name: str, count: int, stream_s: float) -> None:
        """It begins streams, as many as it may."""
        replica = self.replicas[name]
        for _ in range(min(count, replica.lease.seats(self.now_s) - replica.held)):
            replica.ends_s.append(self.now_s + min(stream_s, self.rules.stream_s_max))
        self.check()

    def finish(self, name: str, count: int) -> None:
        """Streams end early."""
        replica = self.replicas[name]
        replica.ends_s = sorted(replica.ends_s)[count:]

    def wipe(self) -> None:
        """The store forgets."""
        self.table.wipe()

    def pass_time(self, seconds: float) -> None:
        """What is on its way arrives, what ends ends."""
        until_s = self.now_s + seconds
        while self._messages and self._messages[0].at_s <= until_s:
            message = heapq.heappop(self._messages)
            self._move_to(message.at_s)
            self._deliver(message)
            self.check()
        self._move_to(until_s)
        self.check()

    @property
    def is_anybody_cut_off(self) -> bool:
        return any(replica.is_cut_off for replica in self.replicas.values())

    # How.

    def _beat(self, sender: Replica, target: int | None) -> Beat:
        lease = sender.lease
        limit = lease.seats(self.now_s)
        ask = Ask(CLASS, self.rules.seats, 0.0, 0.0, lease.epoch, limit, sender.held, target or 0, 0)
        return Beat(
            sender.name,
            sender.incarnation,
            sender.number,
            target is None,
            self.rules.hold_s,
            LIVE_S,
            SETTLE_S,
            [] if target is None else [ask],
        )

    def _post(self, sender: Replica, beat: Beat, there_s: float, back_s: float | None) -> None:
        message = Message(self.now_s + there_s, next(self._orders), beat, sender, self.now_s, back_s)
        heapq.heappush(self._messages, message)

    def _deliver(self, message: Message) -> None:
        if message.answer is not None:
            self._hear(message, message.answer)
            return
        before, was_known = self.table.bound(CLASS), self._knows(message.beat)
        try:
            answer = self.table.beat(message.beat, b"", self.now_s)
        except OvertakenError:
            return
        self._check_bounds(message.beat, before, was_known=was_known)
        if answer is not None and message.back_s is not None:
            message.answer, message.at_s = answer, self.now_s + message.back_s
            heapq.heappush(self._messages, message)

    def _hear(self, message: Message, answer: BeatAnswer) -> None:
        """Nobody listens for an answer any more after a restart, a later heartbeat, or while cut off."""
        sender = message.sender
        is_there = self.replicas.get(sender.name) is sender and not sender.is_cut_off
        if is_there and message.beat.number == sender.number:
            (grant,) = answer.grants
            sender.contact.heard_at_s = message.sent_at_s
            sender.contact.replicas = 1 + len(answer.reports)
            sender.lease.renew(epoch=grant.epoch, limit=grant.limit, tokens=grant.tokens, sent_at_s=message.sent_at_s)

    def _knows(self, beat: Beat) -> bool:
        lease = self.table.leases.get(beat.replica)
        return lease is not None and lease.incarnation == beat.incarnation

    def _move_to(self, now_s: float) -> None:
        self.now_s = now_s
        self.orphans_s = [end_s for end_s in self.orphans_s if end_s > now_s]
        for replica in self.replicas.values():
            replica.ends_s = [end_s for end_s in replica.ends_s if end_s > now_s]

    # What must hold.

    def used(self) -> int:
        """What is in use at this moment, or may be without asking anybody."""
        return len(self.orphans_s) + sum(replica.used(self.now_s) for replica in self.replicas.values())

    def check(self) -> None:
        """Never more than there is."""
        self.used_most = max(self.used_most, self.used())
        if self.used() > self.rules.seats:
            each = {name: (one.lease.seats(self.now_s), one.held) for name, one in self.replicas.items()}
            raise UnsafeError(f"{self.used()} of {self.rules.seats}: {each}, orphans {len(self.orphans_s)}")

    def _check_bounds(self, beat: Beat, before: int, *, was_known: bool) -> None:
        """The store lends no more than there is; one that it had forgotten counts, and then nobody grows."""
        after = self.table.bound(CLASS)
        claimed = 0 if was_known else sum(max(ask.limit, ask.held) for ask in beat.asks)
        if after > max(self.rules.seats, before + claimed):
            raise UnsafeError(f"bounds of {after} after {before}, claimed {claimed}")

    def come_to_rest(self) -> None:
        """No more accidents: streams end, and after as long as silence is borne everything can be had by anybody."""
        for replica in self.replicas.values():
            replica.is_cut_off = False
        self.pass_time(max(self.rules.stream_s_max, self.rules.hold_s) + TTL_S)
        for name in sorted(self.replicas):
            for _ in range(3):
                for each in sorted(self.replicas):
                    self.heartbeat(each, 0, Way())
                    self.pass_time(0.1)
            beats = 2 + round((self.rules.hold_s + SETTLE_S) / 0.25)
            for _ in range(beats):
                for each in sorted(self.replicas):
                    self.heartbeat(each, self.rules.seats if each == name else 0, Way())
                self.pass_time(0.25)
                if self.replicas[name].lease.limit == self.rules.seats:
                    break
            if self.replicas[name].lease.seats(self.now_s) != self.rules.seats:
                raise UnsafeError(f"{name} has {self.replicas[name].lease.limit} of {self.rules.seats} after all")
