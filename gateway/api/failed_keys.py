"""How many wrong keys may come from one address. Pure; times are monotonic seconds.

Of clients behind a proxy the address is the proxy's, so that the limit holds for all of them together.
"""

import ipaddress
from collections import OrderedDict

ADDRESSES_MAX = 10_000
"""So many are remembered, those that failed last. A hundred bytes each."""


class FailedKeys:
    """A bucket of attempts for each address, refilled over a minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Attempts left, and when that was."""

    def fail(self, address: str, now_s: float) -> float | None:
        """Note a wrong key; return None, or after how many seconds the next one is judged where they were too many."""
        network = network_of(address)
        left, at_s = self._left.pop(network, (float(self._per_minute), now_s))
        left = min(self._per_minute, left + (now_s - at_s) * self._per_minute / 60)
        is_judged = left >= 1
        self._left[network] = (left - 1 if is_judged else left, now_s)
        if len(self._left) > ADDRESSES_MAX:
            self._left.popitem(last=False)
        return None if is_judged else (1 - left) * 60 / self._per_minute


def network_of(address: str) -> str:
    """Return what one client may be taken to have: an IPv4 address, or the /64 of an IPv6 one (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        # A socket in the file system has none.
        return ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))
