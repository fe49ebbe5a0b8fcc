"""Keep the connections of one server within their limits: decide which makes room, and check all of them in a sweep.

A timer for each connection would be set and cancelled with each request. One sweep a second costs a request nothing
but the time that it notes, and limits of many seconds need not be exact to the second.
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
"""The number of connections that a sweep checks, in about a millisecond, before it lets requests run."""
TURNED_AWAY_MAX = 1000
"""The number of connections beyond the limit that are answered with 503; those after them are closed at once."""


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the limits that one server sets for its clients."""

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
    """The number of connections beyond `connections_max` that are answered with 503, each with its descriptor."""


class Refusal(StrEnum):
    """Name the reason for which a client was refused before its request reached a tenant."""

    MALFORMED = "invalid_http"
    SLOW = "request_timeout"
    TOO_LARGE = "request_headers_too_large"
    NO_ROOM = "too_many_connections"
    EVICTED = "evicted"
    """The connection was closed to make room for another one."""
    KEY = "invalid_api_key"
    FAILED_KEYS = "failed_keys"
    """Too many wrong keys came from the network of the client."""


class Standing(IntEnum):
    """Name the use of a connection, in the order in which connections are closed to make room for others."""

    LINGERING = 0
    """The answer was sent, and the connection is only read from so that the answer is not lost."""
    IDLE = 1
    """The connection waits for the next request of its client."""
    INCOMPLETE = 2
    """The request is not complete, or has not begun."""
    UNKNOWN = 3
    """The request is complete and being answered, and no key was accepted."""
    HELD = 4
    """The request of a tenant is being answered: the connection is not closed for others."""


class Connection(Protocol):
    """Declare what `Connections` needs of a connection."""

    @property
    def is_held(self) -> bool:
        """Tell whether a request with an accepted key is being answered."""
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
        """Create the set; `refused` receives the reason of each refusal and the request's id, empty without one."""
        self.limits = limits
        self.now_s = clock.monotonic_s()
        self.open: set[Connection] = set()
        self.refused = refused
        self._clock = clock
        self._standings: dict[Connection, Standing] = {}
        """The standings of the connections that are within the limit."""
        self._lines: list[OrderedDict[Connection, None]] = [OrderedDict() for _ in Standing]
        """The connections by standing, the one that has had it for longest first. Held ones are only told apart when
        room is needed, so that this costs a request nothing."""

    @property
    def turned_away(self) -> int:
        """Return the number of open connections beyond the limit."""
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
        """Remove a connection that is closed."""
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
        """Check all connections once a second, until cancelled."""
        while True:
            await anyio.sleep(SWEEP_S)
            self.now_s = self._clock.monotonic_s()
            for count, connection in enumerate(list(self.open), 1):
                if connection in self.open:
                    connection.check()
                if count % TURN == 0:
                    await anyio.lowlevel.checkpoint()
