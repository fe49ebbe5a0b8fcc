"""All connections of one server: what each may take, which of them makes room, and the sweep that looks after them.

A timer for each connection would be set and cancelled with each request. One sweep a second costs a request nothing
but the time it notes, and a second more or less does not matter to waits of many.
"""

from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Protocol

import anyio
import anyio.lowlevel
import msgspec

from gateway.clock import Clock

SWEEP_S = 1.0
TURN = 500
"""So many are looked at before requests have a turn: about a millisecond."""
TURNED_AWAY_MAX = 1000
"""So many beyond the most connections are told that there is no room; those after them are closed without a word."""


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one server grants its clients."""

    head_bytes_max: int
    """Of request line and headers."""
    head_s: float
    """For the whole of them."""
    read_s: float
    """Without a byte of a body."""
    write_s: float
    """For what was written and is not read."""
    connections_max: int
    turned_away_max: int = TURNED_AWAY_MAX
    """How many connections there may be beyond the most, each with a descriptor of its own."""


class Refusal(StrEnum):
    """Why a client was refused before its request reached a tenant."""

    MALFORMED = "invalid_http"
    SLOW = "request_timeout"
    TOO_LARGE = "request_headers_too_large"
    NO_ROOM = "too_many_connections"
    EVICTED = "evicted"
    """Its connection was closed to make room for another one."""
    KEY = "invalid_api_key"
    FAILED_KEYS = "failed_keys"
    """Too many wrong keys came from its address."""


class Standing(IntEnum):
    """What a connection is used for, in the order in which connections are closed to make room for others."""

    LINGERING = 0
    """It has had its answer, and is only read from so that the answer is not lost."""
    IDLE = 1
    """It waits for its client's next request."""
    INCOMPLETE = 2
    """Its request is not whole, or has not begun."""
    UNKNOWN = 3
    """Its request is whole and being answered, and no key was accepted."""
    HELD = 4
    """Its request is that of a tenant, and being answered: it makes no room."""


class Connection(Protocol):
    """What is looked after."""

    @property
    def is_held(self) -> bool:
        """Whether it answers a request whose key was accepted."""
        ...

    def check(self) -> None:
        """Look whether the client took too long; the time is `Connections.now_s`."""
        ...

    def evict(self) -> None:
        """Close at once, to make room for another one."""
        ...


class Connections:
    """The connections of one server, and the time as they know it: that of the last sweep."""

    def __init__(
        self, limits: ClientLimits, clock: Clock, refused: Callable[[Refusal, str], None] = lambda *_: None
    ) -> None:
        """`refused` is told why a client was refused, and the id of its request, empty where it was given none."""
        self.limits = limits
        self.now_s = clock.monotonic_s()
        self.open: set[Connection] = set()
        self.refused = refused
        self._clock = clock
        self._standings: dict[Connection, Standing] = {}
        """Of those that there is room for."""
        self._lines: list[OrderedDict[Connection, None]] = [OrderedDict() for _ in Standing]
        """By standing, the one that has had it for longest first. Which of them are held is looked at when room is
        needed, so that a request costs nothing for it."""

    @property
    def turned_away(self) -> int:
        """How many are open that there is no room for."""
        return len(self.open) - len(self._standings)

    def admit(self, connection: Connection) -> bool:
        """Take a connection, in the place of another one if need be; return False where all others are in use."""
        if len(self._standings) >= self.limits.connections_max and not self._make_room():
            return False
        self.open.add(connection)
        self._standings[connection] = Standing.INCOMPLETE
        self._lines[Standing.INCOMPLETE][connection] = None
        return True

    def move(self, connection: Connection, standing: Standing) -> None:
        """Note what a connection is used for from now on; of one that was turned away or closed, nothing."""
        before = self._standings.get(connection)
        if before is not None and before is not standing:
            del self._lines[before][connection]
            self._lines[standing][connection] = None
            self._standings[connection] = standing

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self.open.discard(connection)
        standing = self._standings.pop(connection, None)
        if standing is not None:
            del self._lines[standing][connection]

    def _make_room(self) -> bool:
        for line in self._lines[: Standing.HELD]:
            while line:
                connection = next(iter(line))
                if connection.is_held:
                    self.move(connection, Standing.HELD)
                    continue
                self.forget(connection)
                connection.evict()
                self.refused(Refusal.EVICTED, "")
                return True
        return False

    async def sweep(self) -> None:
        """Look after all of them, until cancelled."""
        while True:
            await anyio.sleep(SWEEP_S)
            self.now_s = self._clock.monotonic_s()
            for count, connection in enumerate(list(self.open), 1):
                if connection in self.open:
                    connection.check()
                if count % TURN == 0:
                    await anyio.lowlevel.checkpoint()
