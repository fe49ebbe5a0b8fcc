from typing import Any

import pytest

from gateway.api.body import DISCARD_BYTES_MAX, read_body
from gateway.errors import BodyTooLargeError, InvalidRequestError


class Sender:
    """A client that sends these pieces, and then maybe goes."""

    def __init__(self, *pieces: bytes, goes: bool = False) -> None:
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": goes or at < len(pieces) - 1}
            for at, piece in enumerate(pieces)
        ]
        if goes:
            self.messages.append({"type": "http.disconnect"})

    async def receive(self) -> Any:
        return self.messages.pop(0)


async def test_pieces_are_joined() -> None:
    assert await read_body(Sender(b"ab", b"", b"c").receive, bytes_max=3) == b"abc"
    assert await read_body(Sender(b"").receive, bytes_max=3) == b""


async def test_a_body_over_the_limit_is_read_to_its_end_and_refused() -> None:
    sender = Sender(*[b"abc"] * 10)
    with pytest.raises(BodyTooLargeError) as caught:
        await read_body(sender.receive, bytes_max=5)
    assert caught.value.bytes_max == 5
    assert sender.messages == []


async def test_a_body_without_end_is_not_read_for_ever() -> None:
    piece = b"x" * (8 * 1024 * 1024)
    sender = Sender(*[piece] * 20)
    with pytest.raises(BodyTooLargeError):
        await read_body(sender.receive, bytes_max=5)
    assert len(sender.messages) >= 20 - DISCARD_BYTES_MAX // len(piece) - 1 > 0


async def test_a_client_that_goes_is_noticed() -> None:
    with pytest.raises(InvalidRequestError):
        await read_body(Sender(b"abc", goes=True).receive, bytes_max=5)
