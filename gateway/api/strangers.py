"""Guests, told apart by where they come from: a key that anybody can make up tells nothing."""

import ipaddress

from litestar.types import Scope

_IPV6_NETWORK_BITS = 64
"""What one IPv6 client has at least: a subnet of its own (RFC 6177). It can come from any address within."""


def network_of(scope: Scope) -> str:
    """Return the network that a request comes from: an IPv4 address, or the first half of an IPv6 one.

    It is that of the connection, as headers such as X-Forwarded-For are whatever the client writes: all that come
    through one proxy are one. Empty where a connection has no address, as that of a Unix socket.
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
        # As a dual-stack socket writes the address of an IPv4 client (RFC 4291, 2.5.5.2).
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False))
