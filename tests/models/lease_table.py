"""The lease script in Python, line for line: the same answers without a Redis, at any time one likes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gateway.admission.lease_store import Ask, Beat, BeatAnswer, Grant, OvertakenError


@dataclass(slots=True)
class ClassLease:
    """What one replica has of one class of calls, as far as the store knows."""

    epoch: int
    limit: int
    bound: int
    is_work: bool


@dataclass(slots=True)
class ReplicaLease:
    """One replica. `number` is that of its latest heartbeat."""

    incarnation: str
    number: int
    seen_s: float
    hold_s: float
    classes: dict[str, ClassLease] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """What concerns all replicas."""

    born_s: float
    heard_s: float
    learning_until_s: float
    levels: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By class: how high calls stand, and when that was."""


class LeaseTable:
    """The store's memory. Every method takes the store's own time, in seconds."""

    def __init__(self) -> None:
        self.leases: dict[str, ReplicaLease] = {}
        self.reports: dict[str, bytes] = {}
        self.state: State | None = None

    def wipe(self) -> None:
        """Forget everything, as a Redis without a disk does."""
        self.leases, self.reports, self.state = {}, {}, None

    def bound(self, name: str) -> int:
        """What all replicas together may be using of a class."""
        return _bounds(self.leases.values(), name)

    def beat(self, beat: Beat, report: bytes, now_s: float) -> BeatAnswer | None:
        """One heartbeat; None where a later one has overtaken it.

        Raises:
            OvertakenError: Another process of this name lives.
        """
        if beat.is_leaving:
            left = self.leases.get(beat.replica)
            if left is not None and left.incarnation == beat.incarnation:
                self._forget(beat.replica)
                self._keep_held(beat, left)
            return BeatAnswer(is_learning=False, grants=[], reports={}, now_s=0.0)
        state = self._state(beat, now_s)
        self._expire(beat.replica, now_s)
        others = [lease for id_, lease in self.leases.items() if id_ != beat.replica]
        live = {id_ for id_, lease in self.leases.items() if id_ != beat.replica and _is_live(lease, beat, now_s)}
        silent = [lease for lease in others if not _is_live(lease, beat, now_s)]
        mine = self.leases.get(beat.replica)
        is_mine_live = mine is not None and abs(now_s - mine.seen_s) <= beat.live_s
        if mine is not None and is_mine_live and beat.incarnation < mine.incarnation:
            raise OvertakenError
        if mine is not None and mine.incarnation != beat.incarnation:
            ghost = self._bury(beat.replica, mine)
            others.append(ghost)
            silent.append(ghost)
            mine = None
        if mine is not None and beat.number <= mine.number:
            return None
        self.state = state
        is_learning = now_s < state.learning_until_s
        classes: dict[str, ClassLease] = {}
        grants: list[Grant] = []
        for ask in beat.asks:
            known = self._known(beat, ask, mine, now_s)
            free = 0 if is_learning else max(0, ask.seats - known.bound - _bounds(others, ask.name))
            given = classes[ask.name] = _grown(known, min(ask.target, known.bound + free))
            grants.append(Grant(given.epoch, given.limit, _tokens(state, ask, now_s), _bounds(silent, ask.name)))
        self.leases[beat.replica] = ReplicaLease(beat.incarnation, beat.number, now_s, beat.hold_s, classes)
        self.reports[beat.replica] = report
        reports = {id_: blob for id_, blob in self.reports.items() if id_ in live}
        return BeatAnswer(is_learning=is_learning, grants=grants, reports=reports, now_s=now_s)

    def _state(self, beat: Beat, now_s: float) -> State:
        """What is known, or what a store begins with that knows nothing; kept only by a heartbeat that counts."""
        state = replace(self.state) if self.state is not None else State(now_s, now_s, now_s + beat.settle_s)
        if now_s - state.heard_s > beat.hold_s / 2:
            state.learning_until_s = max(state.learning_until_s, now_s + beat.settle_s)
        state.heard_s = now_s
        return state

    def _keep_held(self, beat: Beat, left: ReplicaLease) -> None:
        """What a process that leaves could not end stays bound as if it had fallen silent."""
        kept = {}
        for ask in beat.asks:
            known = left.classes.get(ask.name)
            if known is not None and known.is_work and min(known.bound, ask.held) > 0:
                kept[ask.name] = replace(known, bound=min(known.bound, ask.held))
        if kept:
            ghost = ReplicaLease(beat.incarnation, 0, left.seen_s, left.hold_s, kept)
            self.leases[f"{beat.replica} {beat.incarnation}"] = ghost

    def _forget(self, replica: str) -> None:
        self.leases.pop(replica, None)
        self.reports.pop(replica, None)

    def _expire(self, replica: str, now_s: float) -> None:
        for id_, lease in list(self.leases.items()):
            if id_ != replica and now_s - lease.seen_s > lease.hold_s:
                self._forget(id_)

    def _bury(self, replica: str, mine: ReplicaLease) -> ReplicaLease:
        """An earlier process under the same name: its jobs go on, and stay bound as if it had fallen silent."""
        work = {name: each for name, each in mine.classes.items() if each.is_work and each.bound > 0}
        ghost = ReplicaLease(mine.incarnation, 0, mine.seen_s, mine.hold_s, work)
        self.leases[f"{replica} {mine.incarnation}"] = ghost
        return ghost

    def _known(self, beat: Beat, ask: Ask, mine: ReplicaLease | None, now_s: float) -> ClassLease:
        """What a replica has of a class before it is given more or less."""
        known = None if mine is None else mine.classes.get(ask.name)
        is_work = ask.rate == 0
        if known is not None:
            bound = max(known.limit, ask.held) if ask.epoch == known.epoch else known.bound
            return ClassLease(known.epoch, known.limit, bound, is_work)
        state = self.state
        if state is not None and ask.epoch > 0 and now_s < state.learning_until_s:
            state.learning_until_s = max(state.learning_until_s, state.born_s + beat.hold_s)
        return ClassLease(ask.epoch + 1, ask.limit, max(ask.limit, ask.held), is_work)


def _grown(known: ClassLease, limit: int) -> ClassLease:
    """Told another limit, a replica may use the larger of the two until it has confirmed."""
    if limit == known.limit:
        return known
    return ClassLease(known.epoch + 1, limit, max(known.bound, limit), known.is_work)


def _bounds(leases: Iterable[ReplicaLease], name: str) -> int:
    return sum(lease.classes[name].bound for lease in leases if name in lease.classes)


def _is_live(lease: ReplicaLease, beat: Beat, now_s: float) -> bool:
    return now_s - lease.seen_s <= beat.live_s


def _tokens(state: State, ask: Ask, now_s: float) -> int:
    """Calls under the brim of what leaks at an even rate."""
    if ask.rate <= 0:
        return 0
    height, at_s = state.levels.get(ask.name, (ask.burst, now_s))
    height = max(0.0, height - ask.rate * max(0.0, now_s - at_s))
    tokens = max(0, math.floor(min(ask.want, ask.burst - height)))
    state.levels[ask.name] = (height + tokens, now_s)
    return tokens
