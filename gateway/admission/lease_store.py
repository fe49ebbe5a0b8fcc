"""Where replicas meet: what they send and what they get. The only speaker is the lease agent's own task."""

from enum import StrEnum
from typing import Protocol

import msgspec


class RecordKind(StrEnum):
    """What processes leave in the store for each other."""

    OPEN_JOB = "open_job"
    """A job in the journal."""
    LEASE = "lease"
    """What a replica may use, or the state of them all."""
    REPORT = "report"
    """What a replica says of itself."""


RECORD_VERSION = 1
"""Of every record that processes leave for each other; one that has none is of version 1. Fields are added at the end,
with a default: then releases before and after read each other's records, and the version stays. A record of a greater
version is skipped."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """What one class of calls is asked for, and what this replica believes to have of it."""

    name: str
    seats: int
    rate: float
    burst: float
    epoch: int
    limit: int
    held: int
    target: int
    want: int


class Beat(msgspec.Struct, frozen=True, array_like=True):
    """One heartbeat of one replica."""

    replica: str
    incarnation: str
    number: int
    is_leaving: bool
    hold_s: float
    live_s: float
    settle_s: float
    asks: list[Ask]


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """What one class of calls got. `silent` seats are kept for replicas that are not heard of."""

    epoch: int
    limit: int
    tokens: int
    silent: int


class BeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The store's answer to a heartbeat."""

    is_learning: bool
    grants: list[Grant]
    """In the order of the asks."""
    reports: dict[str, bytes]
    """By replica, this one left out."""
    now_s: float
    """The store's own time: what replicas may take turns by."""
    unreadable: int = 0
    """How many leases were of another version or no lease at all; they are gone from the store."""


class StoreError(Exception):
    """The heartbeat was not answered. `is_refused` where the store takes no connection: it is down for everybody."""

    def __init__(self, reason: str, *, is_refused: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_refused = is_refused


class OvertakenError(StoreError):
    """A later process of the same name lives: the store renews its leases, and none of this one."""

    def __init__(self) -> None:
        super().__init__(type(self).__name__, is_refused=False)


class StoreWatcher(Protocol):
    """Told when the store is lost, with the reason, and when it is found again."""

    def __call__(self, *, is_up: bool, reason: str) -> None:
        """Must not raise, and must not wait."""
        ...


class LeaseStore(Protocol):
    """Where heartbeats go."""

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer | None:
        """Send one heartbeat; None where a later one has overtaken it.

        Raises:
            StoreError: It was not answered.
            OvertakenError: Another process of this name lives.
        """
        ...

    async def aclose(self) -> None:
        """Close its connection."""
        ...
