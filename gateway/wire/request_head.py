"""Validate the parts of a request head that the HTTP parser does not check. Pure."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
"""Form of `Host`: the host and port of a URI, which may be empty (RFC 9110, 7.2; RFC 3986, 3.2.2)."""


def header_values(headers: Iterable[tuple[bytes, bytes]], *names: bytes) -> list[bytes]:
    """Return the values of the header lines with one of these names, in their order."""
    # Most requests have none of them: the dictionary shows that without a Python loop.
    if set(names).isdisjoint(dict(headers)):
        return []
    return [value for name, value in headers if name in names]


def head_size(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Return the number of bytes of a head, without the separators between its parts."""
    return len(url) + sum(map(len, chain.from_iterable(headers)))


def head_problem(http_version: str, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return a description of what is wrong with a request's headers, or None if they are valid.

    Header names have to be in lower case. Only one Host is allowed (RFC 9112, 3.2): with two, a proxy and this server
    could each use a different one. A transfer coding other than `chunked` would be read as if it were not encoded (RFC
    9112, 6.1), and HTTP/1.0 has no transfer codings.
    """
    # Alternating names and values: most heads are checked without a Python loop over their lines.
    parts = list(chain.from_iterable(headers))
    names = parts[::2]
    hosts_count = names.count(b"host")
    if hosts_count > 1:
        return "The request has more than one Host header. Send exactly one."
    if not hosts_count and http_version == "1.1":
        return "The request has no Host header, which HTTP/1.1 requires."
    if hosts_count and not _HOST.fullmatch(parts[2 * names.index(b"host") + 1].strip()):
        return "The Host header must be a host name or an address, optionally with a port."
    if b"transfer-encoding" not in names:
        return None
    if http_version != "1.1":
        return "Transfer-Encoding requires HTTP/1.1. Send the body with a Content-Length."
    if any(value.strip().lower() != b"chunked" for name, value in headers if name == b"transfer-encoding"):
        return "The only supported Transfer-Encoding is `chunked`. Declare compression with Content-Encoding."
    return None
