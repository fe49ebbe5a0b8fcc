"""Compressed bodies: read within the bounds of plain ones, or refused with the reason."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from gateway.api.body import HELD_BYTES_MIN, TURN_BYTES, BodyBudget, decompressor_of, read_body
from gateway.errors import BodiesFullError, BodyTooLargeError, InvalidRequestError, UnsupportedEncodingError
from gateway.wire import content_coding
from gateway.wire.content_coding import CHUNK_BYTES
from tests.api.test_body import Sender, fill
from tests.stacks import KEY, Stack, stack
from tests.subject import answering, running

zstd = content_coding._zstd()
MIB = 1024 * 1024


def scope(*encodings: str) -> Any:
    return {
        "headers": [(b"content-type", b"x"), *((b"content-encoding", each.encode("latin-1")) for each in encodings)]
    }


async def read(sender: Sender, encoding: str, *, bytes_max: int, room: BodyBudget | None = None) -> bytes:
    with (room or BodyBudget(body_bytes_max=bytes_max)).reserve("acme") as reservation:
        subject = decompressor_of(scope(encoding))
        return bytes(await read_body(sender.receive, reservation, bytes_max=bytes_max, decompressor=subject))


def test_a_plain_body_has_no_decompressor() -> None:
    assert decompressor_of(scope()) is None
    assert decompressor_of(scope("identity")) is None
    assert decompressor_of(scope("")) is None


@pytest.mark.parametrize(("encodings", "named"), [(("br",), "br"), (("gzip", "gzip"), "gzip, gzip"), (("\xff",), "ÿ")])
def test_other_encodings_are_refused_by_name(encodings: tuple[str, ...], named: str) -> None:
    with pytest.raises(UnsupportedEncodingError) as caught:
        decompressor_of(scope(*encodings))
    assert caught.value.encoding == named
    assert caught.value.accepted == ["gzip", "deflate", "zstd", "identity"]


async def test_a_body_in_pieces_is_put_together() -> None:
    packed = gzip.compress(b"ab" * 100_000)
    pieces = [packed[at : at + 50] for at in range(0, len(packed), 50)]
    assert await read(Sender(*pieces, b""), "gzip", bytes_max=200_000) == b"ab" * 100_000


async def test_a_body_may_be_as_large_as_a_plain_one_and_no_larger() -> None:
    packed = gzip.compress(b"x" * 1000)
    assert len(await read(Sender(packed), "gzip", bytes_max=1000)) == 1000
    with pytest.raises(BodyTooLargeError) as caught:
        await read(Sender(packed), "gzip", bytes_max=999)
    assert caught.value.bytes_max == 999


async def test_a_bomb_is_not_unpacked_beyond_the_limit() -> None:
    room = BodyBudget(body_bytes_max=MIB)
    bomb = gzip.compress(bytes(64 * MIB))
    largest = 0

    class Watching(Sender):
        async def receive(self) -> Any:
            nonlocal largest
            largest = max(largest, room.held_bytes)
            return await super().receive()

    pieces = [bomb[at : at + 256] for at in range(0, len(bomb), 256)]
    sender = Watching(*pieces)
    with pytest.raises(BodyTooLargeError):
        await read(sender, "gzip", bytes_max=MIB, room=room)
    assert sender.messages == []
    assert 0 < largest <= MIB
    assert room.held_bytes == 0


async def test_compressed_bytes_are_bounded_too() -> None:
    """What expands to nothing could go on for ever."""
    empty = gzip.compress(b"")
    with pytest.raises(BodyTooLargeError):
        await read(Sender(*[empty] * 100), "gzip", bytes_max=len(empty) * 99)


async def test_what_it_unpacks_to_is_what_its_place_counts() -> None:
    room = BodyBudget(body_bytes_max=10 * MIB)
    seen: list[int] = []

    class Watching(Sender):
        async def receive(self) -> Any:
            seen.append(room.held_bytes)
            return await super().receive()

    packed = gzip.compress(bytes(3 * MIB))
    await read(Watching(packed, b""), "gzip", bytes_max=10 * MIB, room=room)
    assert seen == [HELD_BYTES_MIN, 3 * MIB]


async def test_a_bomb_without_room_is_refused_before_it_takes_any() -> None:
    room = BodyBudget(body_bytes_max=1)
    fill(room, "acme")
    held = room.held_bytes
    with pytest.raises(BodiesFullError):
        await read(Sender(gzip.compress(bytes(4 * MIB))), "gzip", bytes_max=10 * MIB, room=room)
    assert room.held_bytes == held


async def test_others_have_their_turn_while_a_large_body_is_unpacked() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    size = 8 * TURN_BYTES
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await anyio.lowlevel.checkpoint()
        before = turns
        await read(Sender(gzip.compress(bytes(size))), "gzip", bytes_max=size)
        assert turns - before >= size // TURN_BYTES - 1
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("gzip", b'{"model":"m"}', "not valid gzip"),
        ("deflate", b'{"model":"m"}', "not valid deflate"),
        ("zstd", b'{"model":"m"}', "not valid zstd"),
        ("gzip", gzip.compress(b"{}")[:-1], "is truncated"),
        ("deflate", zlib.compress(b"{}")[:-1], "is truncated"),
        ("zstd", zstd.compress(b"{}")[:-1], "is truncated"),
        ("gzip", gzip.compress(b"{}") + b"more", "not valid gzip"),
        ("deflate", zlib.compress(b"{}") + b"more", "has trailing bytes"),
    ],
    ids=range(8),
)
async def test_a_body_that_is_not_what_it_says_is_refused(encoding: str, body: bytes, text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await read(Sender(body), encoding, bytes_max=1000)
    assert caught.value.code == "invalid_content_encoding"
    assert text in caught.value.reason


async def test_a_client_that_goes_is_noticed() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await read(Sender(gzip.compress(b"{}")[:5], goes=True), "gzip", bytes_max=1000)
    assert caught.value.code is None


PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress, "identity": bytes}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "count to 3"}]}


@pytest.fixture(scope="module", params=["job", "openai"])
def stacked(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with stack(endpoint={"route": request.param}, body_bytes_max=100_000) as made:
        yield made


def post(to: Stack, content: bytes, encoding: str, *, key: str = KEY) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", "content-encoding": encoding}
    return httpx.post(f"{to.base_url}/chat/completions", content=content, headers=headers)


@pytest.mark.server
@pytest.mark.parametrize("encoding", PACKERS)
def test_a_compressed_request_is_served(stacked: Stack, encoding: str) -> None:
    answer = post(stacked, PACKERS[encoding](json.dumps(CHAT).encode()), encoding)
    assert answer.json()["choices"][0]["message"]["content"] == "1 2 3"


@pytest.mark.server
@pytest.mark.parametrize(
    ("content", "encoding", "status", "code"),
    [
        (b"{}", "br", 415, "unsupported_content_encoding"),
        (gzip.compress(gzip.compress(b"{}")), "gzip, gzip", 415, "unsupported_content_encoding"),
        (json.dumps(CHAT).encode(), "gzip", 400, "invalid_content_encoding"),
        (gzip.compress(b"{}")[:-3], "gzip", 400, "invalid_content_encoding"),
        (gzip.compress(bytes(10 * MIB)), "gzip", 413, "request_too_large"),
        (b"", "gzip", 400, "invalid_json"),
        (gzip.compress(b"\xff"), "gzip", 400, "invalid_json"),
    ],
    ids=["unknown", "stacked", "plain", "cut", "bomb", "empty", "no JSON"],
)
def test_what_cannot_be_read_is_refused(stacked: Stack, content: bytes, encoding: str, status: int, code: str) -> None:
    before = stacked.asked()
    answer = post(stacked, content, encoding)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert stacked.asked() == before
    if status == 415:
        assert encoding in answer.json()["error"]["message"]
        assert answer.headers["accept-encoding"] == "gzip, deflate, zstd, identity"


@pytest.mark.server
def test_the_key_comes_first(stacked: Stack) -> None:
    assert post(stacked, b"{}", "br", key="nobody").status_code == 401


async def test_compressed_or_not_an_idempotency_key_names_the_same_request() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        body, calls = json.dumps(CHAT | {"stream": True}).encode(), []
        for encoding in ("identity", "gzip"):
            call = subject.call(headers={"idempotency-key": "once", "content-encoding": encoding})
            call._body = PACKERS[encoding](body)
            await call.run(subject.gateway.app)
            calls.append(call)
    assert [call.status for call in calls] == [200, 200]
    assert calls[1].headers["idempotent-replayed"] == "true"
    assert runpod.count("run") == 1


def test_chunks_are_smaller_than_what_the_server_reads_ahead() -> None:
    assert CHUNK_BYTES <= HELD_BYTES_MIN
