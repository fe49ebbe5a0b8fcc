"""Open connections: name lookup, TCP to the address that answers first (RFC 8305), then TLS."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from itertools import chain, zip_longest
from typing import Any

import anyio

from gateway.upstream.http.connection import Connection
from gateway.upstream.http.faults import LOCAL
from gateway.upstream.http.outgoing import Origin

ATTEMPT_DELAY_S = 0.25
"""Seconds for which an address may take to answer before the next one is tried as well (RFC 8305, 5)."""

Address = tuple[int, Any]
"""The family, and an address of that family in the form of the socket module."""


async def dial(origin: Origin, tls: ssl.SSLContext | None, make: Callable[[socket.socket], Connection]) -> Connection:
    """Open a connection.

    Raises:
        OSError: The name is unknown, the connection is refused, or the TLS handshake failed.
    """
    sock = await _open_socket(origin)
    connection = make(sock)
    try:
        # From here on the loop's transport owns the socket, and closes it if this fails.
        await asyncio.get_running_loop().create_connection(
            lambda: connection, sock=sock, ssl=tls, server_hostname=origin.host if tls else None
        )
    except BaseException:
        connection.abort()
        raise
    if not connection.is_open:
        raise ConnectionResetError("connection closed immediately after it was opened")
    return connection


async def _open_socket(origin: Origin) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        # A resolver that lacks a descriptor reports only a failure: opening a socket here raises the real error.
        socket.socket().close()
        raise
    return await race(interleaved([(family, address) for family, _, _, _, address in found]))


def interleaved(addresses: list[Address]) -> list[Address]:
    """Return the addresses with alternating families, beginning with that of the first one.

    A family without a route then costs one attempt.
    """
    first = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]


async def race(addresses: list[Address]) -> socket.socket:
    """Return the socket of the address that answers first, where each address gets a head start before the next.

    Raises:
        OSError: None of them answered. The first failure that is not local to this machine is raised: a machine without
            IPv6 has no address to connect from.
    """
    connected: list[socket.socket] = []
    failures: list[OSError] = []

    async def attempt(address: Address, failed: anyio.Event) -> None:
        try:
            connected.append(await _attempt(address))
        except OSError as failure:
            failures.append(failure)
            failed.set()
        else:
            tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            for address in addresses:
                failed = anyio.Event()
                tasks.start_soon(attempt, address, failed)
                with anyio.move_on_after(ATTEMPT_DELAY_S):
                    await failed.wait()
    except BaseException:
        _close(connected)
        raise
    if not connected:
        raise next((each for each in failures if each.errno not in LOCAL), failures[0])
    _close(connected[1:])
    return connected[0]


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


async def _attempt(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock
