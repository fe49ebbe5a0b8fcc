"""Declare what a connection tells about the response to one request."""

from typing import Protocol

import httpx

from gateway.upstream.http.response import ResponseReader

TransportError = httpx.TransportError


class Listener(Protocol):
    """Receive the response to one request. Its methods must not raise.

    They may be called once more after `Connection.leave`, with what arrived in the same read.
    """

    def head_received(self, reader: ResponseReader) -> None:
        """Process the head, which the reader holds."""
        ...

    def piece_received(self, piece: bytes) -> None:
        """Process a piece of the body."""
        ...

    def response_ended(self) -> None:
        """Process the end of the response. The connection may carry another request already."""
        ...

    def response_failed(self, error: TransportError) -> None:
        """Process the end of a response that is incomplete. Nothing follows."""
        ...
