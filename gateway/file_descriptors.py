"""Divide the file descriptors of a process between client connections and everything else.

Without a reserve, clients that only connect would leave no descriptors for calls to Runpod, cancels and the log.
"""

import contextlib
import resource
from collections.abc import Iterable

import msgspec

from gateway.connection_limits import TURNED_AWAY_MAX, ClientLimits
from gateway.domain import Endpoint, Operation

DESCRIPTORS_MAX = 1_048_576
"""Maximum number of descriptors that are requested: some container runtimes allow 10^9, and macOS reports no limit."""
RESERVE_MIN = 128
OWN_DESCRIPTORS = 64
"""Number of descriptors for listeners, the event loop, the store, the trace collector, the log and files being read."""
OPERATOR_CONNECTIONS_MAX = 64
"""Maximum number of connections to the metrics port: a few scrapers, each with one or two."""
OPERATOR_TURNED_AWAY_MAX = 16


class DescriptorBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the connection limits of the listeners of a process."""

    clients: ClientLimits
    operators: ClientLimits
    """Limits of the metrics port."""
    reserve: int
    """Number of descriptors kept for everything else."""
    is_limited: bool
    """True if clients get fewer connections than configured."""


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard limit, as far as the system allows; return the new soft limit."""
    soft, hard = (DESCRIPTORS_MAX if each == resource.RLIM_INFINITY else each for each in _limits())
    wanted = min(hard, DESCRIPTORS_MAX)
    if soft < wanted:
        # macOS accepts at most OPEN_MAX, even if it reports a higher hard limit.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, _limits()[1]))
            return wanted
    return soft


def limit_at_start() -> int:
    """Return the soft limit of open files that `raise_limit` would set."""
    return min(DESCRIPTORS_MAX if each == resource.RLIM_INFINITY else each for each in _limits()[1:])


def _limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def reserve_of(endpoints: Iterable[Endpoint], *, descriptors: int) -> int:
    """Return the number of descriptors reserved for everything but clients.

    The reserve is the sum of one for each request in flight, which makes one call to Runpod at a time, one for each
    concurrent cancel and call of /health, and OWN_DESCRIPTORS. It is at least RESERVE_MIN, and at most half of all.
    """
    needed = OWN_DESCRIPTORS
    for endpoint in endpoints:
        calls = endpoint.limit(Operation.CANCEL).concurrent + endpoint.limit(Operation.HEALTH).concurrent
        needed += endpoint.max_in_flight + calls
    return min(max(needed, RESERVE_MIN), descriptors // 2)


def share_out(asked: ClientLimits, *, descriptors: int, reserve: int, has_metrics_port: bool) -> DescriptorBudget:
    """Return the connection limits for a process with `descriptors`, of which `reserve` are not for clients.

    A connection that is answered with 503 needs a descriptor too, until its answer was sent.
    """
    free = descriptors - reserve
    operators = min(OPERATOR_CONNECTIONS_MAX + OPERATOR_TURNED_AWAY_MAX, free // 4) if has_metrics_port else 0
    free -= operators
    turned_away = min(TURNED_AWAY_MAX, max(free // 8, free - asked.connections_max, 1))
    connections = min(asked.connections_max, max(1, free - turned_away))
    return DescriptorBudget(
        clients=msgspec.structs.replace(asked, connections_max=connections, turned_away_max=turned_away),
        operators=msgspec.structs.replace(
            asked,
            connections_max=min(OPERATOR_CONNECTIONS_MAX, max(1, operators * 4 // 5)),
            turned_away_max=min(OPERATOR_TURNED_AWAY_MAX, max(1, operators // 5)),
        ),
        reserve=reserve,
        is_limited=connections < asked.connections_max,
    )
