"""How the file descriptors of a process are shared out between its clients and all else that needs one.

Without a reserve, strangers that only connect would leave none for calls to Runpod, for cancels and for the log.
"""

import contextlib
import resource
from collections.abc import Iterable

import msgspec

from gateway.connections import TURNED_AWAY_MAX, ClientLimits
from gateway.domain import Endpoint, Operation

DESCRIPTORS_MAX = 1_048_576
"""More are not asked for: some container runtimes allow a thousand million, and macOS says that it knows no bound."""
RESERVE_MIN = 128
OWN_DESCRIPTORS = 64
"""For listeners, the event loop, the store, the collector of traces, the log, and files that are read now and then."""
OPERATOR_CONNECTIONS_MAX = 64
"""Of a metrics port: a few scrapers, each with a connection or two."""
OPERATOR_TURNED_AWAY_MAX = 16


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How many connections the listeners of a process may have."""

    clients: ClientLimits
    operators: ClientLimits
    """Of the metrics port."""
    reserve: int
    """Descriptors kept for all else."""
    is_limited: bool
    """Whether there are fewer for clients than were asked for."""


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

    One for each request in flight, as each has one call to Runpod at a time; those that cancels and looks at /health
    may have at once; and a few of the process's own. At least RESERVE_MIN, and at most half of what there is.
    """
    needed = OWN_DESCRIPTORS
    for endpoint in endpoints:
        calls = endpoint.limit(Operation.CANCEL).concurrent + endpoint.limit(Operation.HEALTH).concurrent
        needed += endpoint.max_in_flight + calls
    return min(max(needed, RESERVE_MIN), descriptors // 2)


def share_out(asked: ClientLimits, *, descriptors: int, reserve: int, has_metrics_port: bool) -> Room:
    """Return what clients may have of `descriptors`, of which `reserve` are not for them.

    Also a connection that is turned away has a descriptor until it was told so.
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
