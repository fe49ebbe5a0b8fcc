"""Define the messages between replicas and their store. Only the lease agent's own task talks to the store."""

from enum import StrEnum
from typing import Protocol

import msgspec


class RecordKind(StrEnum):
    """Enumerate the records that processes leave in the store for each other."""

    OPEN_JOB = "open_job"
    """A job in the journal."""
    LEASE = "lease"
    """The lease of a replica, or the state of all leases."""
    REPORT = "report"
    """The report of a replica."""


RECORD_VERSION = 1
"""Version of every record in the store; a record without one has version 1. New fields are added at the end, with a
default: then earlier and later releases can read each other's records, and the version stays the same. A record of a
greater version is skipped."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """Represent what a replica asks for one class of calls, and what it believes to hold of it."""

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
    """Represent one heartbeat of one replica."""

    replica: str
    incarnation: str
    number: int
    is_leaving: bool
    hold_s: float
    live_s: float
    settle_s: float
    asks: list[Ask]


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """Represent what is granted for one class of calls. `silent` seats are reserved for replicas without heartbeats."""

    epoch: int
    limit: int
    tokens: int
    silent: int


class BeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Represent the store's answer to a heartbeat."""

    is_learning: bool
    grants: list[Grant]
    """Grants in the order of the asks."""
    reports: dict[str, bytes]
    """Reports by replica, without this one."""
    now_s: float
    """Time of the store's clock, by which replicas rotate fractional seats."""
    unreadable: int = 0
    """Number of leases that were malformed or of another version; they are removed from the store."""


class StoreError(Exception):
    """Report that a heartbeat was not answered.

    `is_refused` is True if the store accepts no connection: it is down for all replicas.
    """

    def __init__(self, reason: str, *, is_refused: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_refused = is_refused


class OvertakenError(StoreError):
    """Report that a later process of the same name is alive: the store renews that one's leases only."""

    def __init__(self) -> None:
        super().__init__(type(self).__name__, is_refused=False)


class StoreWatcher(Protocol):
    """Receive a call when the store is lost, with the reason, and when it is reachable again."""

    def __call__(self, *, is_up: bool, reason: str) -> None:
        """Handle the change; it must neither raise nor block."""
        ...


class LeaseStore(Protocol):
    """Describe the store that receives heartbeats."""

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer | None:
        """Send one heartbeat; return None if a later one has overtaken it.

        Raises:
            StoreError: It was not answered.
            OvertakenError: A later process of this name is alive.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection to the store."""
        ...
