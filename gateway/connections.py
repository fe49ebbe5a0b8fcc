"""All connections of one server: what each may take, and the sweep that sees to it.

A timer for each connection would be set and cancelled with each request. One sweep a second costs a request nothing
but the time it notes, and a second more or less does not matter to waits of many.
"""

from typing import Protocol

import anyio
import anyio.lowlevel
import msgspec

from gateway.clock import Clock

SWEEP_S = 1.0
TURN = 500
"""So many are looked at before requests have a turn: about a millisecond."""


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


class Connection(Protocol):
    """What is looked after."""

    def check(self) -> None:
        """Look whether the client took too long; the time is `Connections.now_s`."""
        ...


class Connections:
    """The connections of one server, and the time as they know it: that of the last sweep."""

    def __init__(self, limits: ClientLimits, clock: Clock) -> None:
        self.limits = limits
        self.now_s = clock.monotonic_s()
        self.open: set[Connection] = set()
        self._clock = clock

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
