"""Check the head of a request for what its parser does not check. Pure."""

import re
from collections.abc import Iterable

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
"""The form of `Host`: the host and port of a URI, which may be empty (RFC 9110, 7.2; RFC 3986, 3.2.2)."""


def head_problem(http_version: str, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Tell what is wrong with the headers of a request, their names in lower case; None if nothing is.

    One Host names one site (RFC 9112, 3.2): with two of them, a proxy and this server could each believe another one.
    A transfer coding other than `chunked` would be read as if it were plain (RFC 9112, 6.1), and HTTP/1.0 has none.
    """
    hosts, codings = [], []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if len(hosts) > 1:
        return "The request has more than one Host header. Send one."
    if not hosts and http_version == "1.1":
        return "The request has no Host header, which HTTP/1.1 requires."
    if hosts and not _HOST.fullmatch(hosts[0].strip()):
        return "The Host header is not a host name or an address with an optional port."
    if codings and http_version != "1.1":
        return "Transfer-Encoding needs HTTP/1.1. Send the body with a Content-Length."
    if any(coding.strip().lower() != b"chunked" for coding in codings):
        return "The only Transfer-Encoding that is read here is `chunked`; a compressed body needs Content-Encoding."
    return None
