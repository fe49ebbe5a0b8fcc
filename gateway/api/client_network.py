"""Identify clients without a configured key by the network that they connect from.

The keys that they send do not identify them, because a client can make up any number of keys.
"""

import ipaddress

from litestar.types import Scope

_IPV6_NETWORK_BITS = 64
"""Prefix length of the smallest subnet that one IPv6 client has (RFC 6177). It can use any address within it."""


def network_of(scope: Scope) -> str:
    """Return the network that a request comes from: an IPv4 address, or the /64 of an IPv6 address.

    The address is that of the connection, because a client can write anything into headers such as X-Forwarded-For. So
    all clients behind one proxy count as one network. The result is empty if the connection has no address, as with a
    Unix socket.
    """
    client = scope.get("client")
    host = "" if client is None else str(client[0]).partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        # A dual-stack socket reports an IPv4 client as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False))
