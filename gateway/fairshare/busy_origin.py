"""Tell the two origins of a 429 apart: Runpod, which limits the account, and a worker, which rejects one request.

The content of Runpod's own 429 is not published, and on the OpenAI route a worker can answer with any status. But a
limit of the account applies to all tenants, so calls of other tenants at the same time tell the two apart. Pure.
"""

from enum import Enum, auto

SPAN_S = 10.0
"""Seconds within which calls count as made at the same time: the length of Runpod's window."""


class Reach(Enum):
    """Enumerate what a 429 may apply to."""

    ALL = auto()
    """Calls of several tenants got a 429."""
    UNKNOWN = auto()
    """Only this tenant made calls."""
    ONE_REQUEST = auto()
    """Calls of other tenants were accepted, and none got a 429."""


class Refusals:
    """Track when calls of each tenant last got a 429, and were last accepted, at one gate.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._refused_at_s: dict[str, float] = {}
        self._passed_at_s: dict[str, float] = {}

    def passed(self, tenant: str, now_s: float) -> None:
        """Record that a call was accepted."""
        self._passed_at_s[tenant] = now_s

    def refused(self, tenant: str, now_s: float) -> Reach:
        """Record a 429, and return what it is assumed to apply to."""
        self._refused_at_s[tenant] = now_s
        if _has_other(self._refused_at_s, tenant, now_s):
            return Reach.ALL
        return Reach.ONE_REQUEST if _has_other(self._passed_at_s, tenant, now_s) else Reach.UNKNOWN


def _has_other(at_s: dict[str, float], tenant: str, now_s: float) -> bool:
    return any(other != tenant and now_s - each_s <= SPAN_S for other, each_s in at_s.items())
