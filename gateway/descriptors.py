"""Share out the file descriptors of a process between its clients and all else that needs one.

Without a reserve, clients that only connect would leave none for calls to Runpod, for cancels and for the log.
"""

import contextlib
import resource
from collections.abc import Iterable

import msgspec

from gateway.connections import TURNED_AWAY_MAX, ClientLimits
from gateway.domain import Endpoint, Operation

DESCRIPTORS_MAX = 1_048_576
"""The most that is asked for: some container runtimes allow a thousand million, and macOS reports no bound."""
RESERVE_MIN = 128
OWN_DESCRIPTORS = 64
"""The descriptors of listeners, the event loop, the store, the collector of traces, the log and files that are read."""
OPERATOR_CONNECTIONS_MAX = 64
"""The connections of a metrics port: a few scrapers, each with one or two."""
OPERATOR_TURNED_AWAY_MAX = 16


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the numbers of connections that the listeners of a process may have."""

    clients: ClientLimits
    operators: ClientLimits
    """The limits of the metrics port."""
    reserve: int
    """The descriptors kept for all else."""
    is_limited: bool
    """True where clients have fewer connections than the configuration asks for."""


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, as far as the system lets us; return what it is then."""
    soft, hard = (DESCRIPTORS_MAX if each == resource.RLIM_INFINITY else each for each in _limits())
    wanted = min(hard, DESCRIPTORS_MAX)
    if soft < wanted:
        # macOS takes no more than OPEN_MAX, whatever it says.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, _limits()[1]))
            return wanted
    return soft


def limit_at_start() -> int:
    """Return what `raise_limit` would make of the limit of open files."""
    return min(DESCRIPTORS_MAX if each == resource.RLIM_INFINITY else each for each in _limits()[1:])


def _limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def reserve_of(endpoints: Iterable[Endpoint], *, descriptors: int) -> int:
    """Return how many descriptors are kept for all but clients.

    The reserve has one for each request in flight, which makes one call to Runpod at a time, those of concurrent
    cancels and readings of /health, and OWN_DESCRIPTORS. It is at least RESERVE_MIN, and at most half of all.
    """
    needed = OWN_DESCRIPTORS
    for endpoint in endpoints:
        calls = endpoint.limit(Operation.CANCEL).concurrent + endpoint.limit(Operation.HEALTH).concurrent
        needed += endpoint.max_in_flight + calls
    return min(max(needed, RESERVE_MIN), descriptors // 2)


def share_out(asked: ClientLimits, *, descriptors: int, reserve: int, has_metrics_port: bool) -> Room:
    """Return how many of `descriptors` clients may have, `reserve` of which are not for them.

    A connection that is turned away has a descriptor as well, until its answer was sent.
    """
    free = descriptors - reserve
    operators = min(OPERATOR_CONNECTIONS_MAX + OPERATOR_TURNED_AWAY_MAX, free // 4) if has_metrics_port else 0
    free -= operators
    turned_away = min(TURNED_AWAY_MAX, max(free // 8, free - asked.connections_max, 1))
    connections = min(asked.connections_max, max(1, free - turned_away))
    return Room(
        clients=msgspec.structs.replace(asked, connections_max=connections, turned_away_max=turned_away),
        operators=msgspec.structs.replace(
            asked,
            connections_max=min(OPERATOR_CONNECTIONS_MAX, max(1, operators * 4 // 5)),
            turned_away_max=min(OPERATOR_TURNED_AWAY_MAX, max(1, operators // 5)),
        ),
        reserve=reserve,
        is_limited=connections < asked.connections_max,
    )
