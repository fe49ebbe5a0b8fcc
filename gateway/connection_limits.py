"""Enforce the limits of one server's connections: evict one to make room for another, and check timeouts in a sweep.

A timer for each connection would be set and cancelled with each request. With one sweep a second a request only stores
the time; timeouts of many seconds need not be exact to the second.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Protocol

import anyio
import anyio.lowlevel
import msgspec

from gateway.clock import Clock
from gateway.errors import TenantLimitError

SWEEP_S = 1.0
RETRY_S = 1.0
TENANT_SHARE = 9
"""Maximum number of connections that one tenant holds, for each that no tenant holds: 90 % of all if it is alone, 47 %
beside another tenant that wants as many. So there is always room for the next tenant."""
TURN = 500
"""Number of connections that a sweep checks, in about a millisecond, before it lets other tasks run."""
TURNED_AWAY_MAX = 1000
"""Maximum number of connections beyond the limit that are answered with 503; further ones are closed at once."""


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the limits of one server's client connections."""

    head_bytes_max: int
    """Maximum size of request line and headers in bytes."""
    head_s: float
    """Maximum number of seconds until request line and headers are complete."""
    read_s: float
    """Maximum number of seconds without a byte of a body."""
    write_s: float
    """Maximum number of seconds for which written data may stay unread."""
    connections_max: int
    turned_away_max: int = TURNED_AWAY_MAX
    """Maximum number of connections beyond `connections_max` that are answered with 503; each has a file descriptor."""


class Refusal(StrEnum):
    """Name the reason why a client was rejected before its request was assigned to a tenant."""

    MALFORMED = "invalid_http"
    SLOW = "request_timeout"
    TOO_LARGE = "request_headers_too_large"
    NO_ROOM = "too_many_connections"
    EVICTED = "evicted"
    """The connection was closed to make room for another connection."""
    KEY = "invalid_api_key"
    FAILED_KEYS = "failed_keys"
    """Too many wrong keys came from the network of the client."""


class Standing(IntEnum):
    """Name the state of a connection, in the order in which connections are evicted."""

    LINGERING = 0
    """The answer was sent; the connection is only read so that the answer is not lost."""
    IDLE = 1
    """The connection waits for the next request of its client."""
    INCOMPLETE = 2
    """The request is incomplete, or has not begun."""
    UNKNOWN = 3
    """The request is complete and being answered; whether its key was accepted has not been checked."""
    HELD = 4
    """A request with an accepted key is being answered: the connection is not evicted."""


class EvictableConnection(Protocol):
    """Define what `Connections` needs of a connection."""

    @property
    def is_held(self) -> bool:
        """Return True if a request with an accepted key is being answered."""
        ...

    def check(self) -> None:
        """Check the timeouts of the client; the time is `Connections.now_s`."""
        ...

    def evict(self) -> None:
        """Close at once, to make room for another connection."""
        ...


class Connections:
    """Hold the connections of one server, and the time of the last sweep, by which they measure timeouts."""

    def __init__(
        self, limits: ClientLimits, clock: Clock, refused: Callable[[Refusal, str], None] = lambda *_: None
    ) -> None:
        """Create the set; `refused` receives the reason of each refusal and the request id, empty without one."""
        self.limits = limits
        self.now_s = clock.monotonic_s()
        self.open: set[EvictableConnection] = set()
        self.refused = refused
        self._clock = clock
        self._held = Counter[str]()
        """Connections on which a tenant's request is being answered, by tenant."""
        self._held_count = 0
        self._standings: dict[EvictableConnection, Standing] = {}
        """States of the connections that are within the limit."""
        self._lines: list[OrderedDict[EvictableConnection, None]] = [OrderedDict() for _ in Standing]
        """Connections by state, in the order in which they entered it. HELD connections are only separated from UNKNOWN
        ones when room is needed, so that this costs nothing per request."""

    @property
    def turned_away(self) -> int:
        """Return the number of open connections beyond the limit."""
        return len(self.open) - len(self._standings)

    def admit(self, connection: EvictableConnection) -> bool:
        """Add a connection, and evict another one if necessary; return False if none can be evicted."""
        if len(self._standings) >= self.limits.connections_max and not self._make_room():
            return False
        self.open.add(connection)
        self._standings[connection] = Standing.INCOMPLETE
        self._lines[Standing.INCOMPLETE][connection] = None
        return True

    def move(self, connection: EvictableConnection, standing: Standing) -> None:
        """Set the state of a connection; do nothing if it is beyond the limit or closed."""
        before = self._standings.get(connection)
        if before is not None and before is not standing:
            del self._lines[before][connection]
            self._lines[standing][connection] = None
            self._standings[connection] = standing

    def claim(self, tenant: str) -> None:
        """Count one more connection as held by a tenant.

        Raises:
            TenantLimitError: The tenant has its share of the connections already, and nothing was counted.
        """
        held, left = self._held[tenant], self.limits.connections_max - self._held_count - 1
        if held and held >= TENANT_SHARE * left:
            raise TenantLimitError(limit="connections", maximum=held, retry_after_s=RETRY_S)
        self._held[tenant] += 1
        self._held_count += 1

    def unclaim(self, tenant: str) -> None:
        """Count one connection less as held by a tenant."""
        self._held[tenant] -= 1
        self._held_count -= 1
        if not self._held[tenant]:
            del self._held[tenant]

    def forget(self, connection: EvictableConnection) -> None:
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
