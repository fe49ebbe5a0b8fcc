"""An endpoint that compresses its answers unasked, as its client and as the client of the gateway see it."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from gateway.errors import UnreachableError, UpstreamBusyError, UpstreamConfigError, WorkerError
from gateway.upstream.client import EndpointClient, make_transport
from gateway.upstream.content_decoding import decoded
from gateway.upstream.job_api import JobApi
from gateway.upstream.reply import Reply
from gateway.upstream.request import UpstreamRequest
from gateway.wire import content_coding
from tests.factories import endpoint
from tests.fakes.raw_server import raw_server, reply
from tests.fakes.runpod import FakeBody, FakeRunpod
from tests.relaying import relayed
from tests.subject import EVENTS, PAGES, running

zstd = content_coding._zstd()
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}
MIB = 1024 * 1024
NOT_READ = "unreadable content-encoding"


async def sent(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        await anyio.lowlevel.checkpoint()
        yield piece


async def read(encoding: str, *pieces: bytes) -> bytes:
    return b"".join([piece async for piece in decoded(sent(*pieces), encoding, status=200)])


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("piece_bytes", [1, 10, 10_000])
async def test_a_body_in_any_pieces_is_read(encoding: str, piece_bytes: int) -> None:
    packed = PACKERS[encoding](b"hello " * 1000)
    pieces = [packed[at : at + piece_bytes] for at in range(0, len(packed), piece_bytes)]
    assert await read(encoding, *pieces) == b"hello " * 1000


async def test_a_plain_body_is_left_as_it_is() -> None:
    pieces = sent(b"a")
    assert decoded(pieces, "identity", status=200) is pieces
    assert [piece async for piece in pieces] == [b"a"]


@pytest.mark.parametrize("encoding", [*PACKERS, "br"])
async def test_a_body_of_no_bytes_is_empty_in_any_known_encoding(encoding: str) -> None:
    if encoding in PACKERS:
        assert await read(encoding) == b""
    else:
        with pytest.raises(UnreachableError):
            await read(encoding)


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("br", b"{}", ": br"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), ": gzip, gzip"),
        ("rpa_key <script>", b"{}", ": with an invalid name"),
        ("gzip", b"{}", "not valid gzip"),
        ("gzip", gzip.compress(b"{}")[:-1], "is truncated"),
        ("deflate", zlib.compress(b"{}") + b"x", "trailing bytes"),
    ],
    ids=range(6),
)
async def test_what_cannot_be_read_is_told(encoding: str, body: bytes, text: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        await read(encoding, body)
    assert caught.value.reason.startswith(NOT_READ)
    assert text in caught.value.reason
    assert caught.value.was_sent
    assert caught.value.status == 200


async def test_many_members_are_read() -> None:
    """As of a server that compresses each event by itself."""
    packed = [gzip.compress(b"data: %d\n\n" % number) for number in range(3000)]
    assert (await read("gzip", *packed)).count(b"data: ") == 3000
    assert (await read("gzip", b"".join(packed))).count(b"data: ") == 3000


async def test_what_came_is_given_before_the_rest_has_come() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    pieces = decoded(sent(first, packer.compress(b"data: 2\n\n") + packer.flush()), "gzip", status=200)
    assert [piece async for piece in pieces] == [b"data: 1\n\n", b"data: 2\n\n"]


async def test_a_bomb_is_unpacked_no_further_than_it_is_read() -> None:
    bomb = gzip.compress(bytes(64 * MIB))
    tracemalloc.start()
    try:
        pieces = decoded(sent(bomb), "gzip", status=200)
        assert max([len(await anext(pieces)) for _ in range(50)]) <= content_coding.CHUNK_BYTES
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


async def test_others_have_their_turn_while_a_bomb_is_read() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        chunks = [len(piece) async for piece in decoded(sent(gzip.compress(bytes(4 * MIB))), "gzip", status=200)]
        tasks.cancel_scope.cancel()
    assert turns >= len(chunks) - 1 >= 60


def packed_reply(encoding: str, body: bytes, status: int = 200) -> bytes:
    packed = PACKERS[encoding](body) if encoding in PACKERS else body
    return reply(packed, status, f"Content-Encoding: {encoding}")


GET = UpstreamRequest(method="GET", path="/x", read_timeout_s=5, total_s_max=5)


async def call(answer: bytes) -> Reply:
    async with raw_server(answer) as server:
        transport = make_transport()
        try:
            return await EndpointClient(endpoint(base_url=server.url), transport).call(GET)
        finally:
            await transport.aclose()


@pytest.mark.server
@pytest.mark.parametrize("encoding", PACKERS)
async def test_a_reply_of_the_job_api_is_decompressed(encoding: str) -> None:
    assert (await call(packed_reply(encoding, b'{"id":"j"}'))).body == b'{"id":"j"}'


@pytest.mark.server
async def test_a_reply_is_bounded_by_what_it_unpacks_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.reply.REPLY_BYTES_MAX", MIB)
    with pytest.raises(UnreachableError, match="too large"):
        await call(packed_reply("gzip", bytes(MIB + 1)))
    assert len((await call(packed_reply("gzip", bytes(MIB)))).body) == MIB


@pytest.mark.server
@pytest.mark.parametrize("encoding", ["br", "gzip, gzip"])
async def test_a_reply_that_cannot_be_read_is_told(encoding: str) -> None:
    with pytest.raises(UnreachableError, match=NOT_READ):
        await call(packed_reply(encoding, b"{}"))


@pytest.mark.server
@pytest.mark.parametrize(("status", "kind"), [(429, UpstreamBusyError), (401, UpstreamConfigError)])
async def test_of_a_failure_the_status_counts(status: int, kind: type[Exception]) -> None:
    async with raw_server(packed_reply("br", b"?", status)) as server:
        transport = make_transport()
        try:
            with pytest.raises(kind):
                await JobApi(EndpointClient(endpoint(base_url=server.url), transport)).read_health()
        finally:
            await transport.aclose()


async def relay(answer: bytes) -> bytes:
    async with raw_server(answer) as server:
        transport = make_transport()
        try:
            return await relayed(EndpointClient(endpoint(base_url=server.url), transport))
        finally:
            await transport.aclose()


@pytest.mark.server
@pytest.mark.parametrize("encoding", PACKERS)
async def test_a_relayed_answer_is_decompressed(encoding: str) -> None:
    assert await relay(packed_reply(encoding, b"data: {}\n\n")) == b"data: {}\n\n"


@pytest.mark.server
@pytest.mark.parametrize("encoding", PACKERS)
async def test_an_error_body_is_decompressed(encoding: str) -> None:
    with pytest.raises(WorkerError) as caught:
        await relay(packed_reply(encoding, b'{"error":{"message":"too long","code":400}}', 400))
    assert (caught.value.status, caught.value.message) == (400, "too long")


@pytest.mark.server
async def test_an_error_body_is_bounded() -> None:
    with pytest.raises(UnreachableError) as caught:
        await relay(packed_reply("gzip", b'{"error":"' + bytes(64 * MIB), 500))
    assert caught.value.status == 500


@pytest.mark.server
@pytest.mark.parametrize(
    ("status", "kind"), [(429, UpstreamBusyError), (403, UpstreamConfigError), (500, UnreachableError)]
)
async def test_an_error_that_cannot_be_read_is_what_its_status_says(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        await relay(packed_reply("br", b"?", status))
    if isinstance(caught.value, UnreachableError):
        assert caught.value.reason == f"{NOT_READ}: br"
        assert caught.value.status == status


@pytest.mark.server
async def test_a_connection_is_used_again_after_a_compressed_answer() -> None:
    async with raw_server(packed_reply("gzip", b"a"), packed_reply("gzip", b"b")) as server:
        transport = make_transport()
        subject = EndpointClient(endpoint(base_url=server.url), transport)
        assert [(await subject.call(GET)).body for _ in range(2)] == [b"a", b"b"]
        await transport.aclose()
        assert len(server.writers) == 1


class Compressing(FakeRunpod):
    """Compresses all that it says."""

    def __init__(self, encoding: str, status: int = 200, **script: Any) -> None:
        super().__init__(**script)
        self._encoding = encoding
        self._status = status

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        plain = await super().handle_async_request(request)
        body = b"".join([piece async for piece in plain.stream])  # type: ignore[union-attr]
        packed = PACKERS.get(self._encoding, bytes)(body)
        pieces = [packed[at : at + 20] for at in range(0, len(packed), 20)]
        headers = {"content-encoding": self._encoding}
        return httpx.Response(self._status, headers=headers, stream=FakeBody(pieces, self._closed), request=request)


SHORT = {"cold_start_timeout_s": 5, "execution_timeout_s": 5}


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("route", ["job", "openai"])
async def test_a_client_gets_its_stream(encoding: str, route: str) -> None:
    runpod = Compressing(encoding, pages=list(PAGES), events=[each.encode() for each in EVENTS])
    async with running(runpod, endpoint={"route": route}) as subject:
        call = await subject.post(stream=True)
        # Of a job whose end was not read, Runpod tells it.
        await anyio.sleep(2)
        held = subject.held()
    assert call.status == 200
    assert "content-encoding" not in call.headers
    assert call.events[-1] == "[DONE]"
    texts = [each["choices"][0]["delta"].get("content") for each in call.events[:-1] if each["choices"]]
    assert "".join(filter(None, texts)) == "Hello there"
    assert held == {}


async def test_a_client_gets_the_workers_error() -> None:
    error = json.dumps({"error": {"message": "no such tool", "code": 400}}).encode()
    async with running(Compressing("gzip", 400, events=[error]), endpoint={"route": "openai"}) as subject:
        call = await subject.post()
    assert (call.status, call.json["error"]["message"]) == (400, "no such tool")


@pytest.mark.parametrize("route", ["job", "openai"])
async def test_a_client_is_told_of_an_encoding_that_cannot_be_read(route: str) -> None:
    runpod = Compressing("br", pages=list(PAGES), events=[b"{}"])
    async with running(runpod, endpoint={"route": route, **SHORT}) as subject:
        call = await subject.post()
        # Nor can /health be read, so that its job may run for the longest time.
        await anyio.sleep(100)
        held = subject.held()
    assert call.status == 502
    assert call.json["error"]["message"] == f"Runpod's answer has an {NOT_READ}: br."
    assert held == {}


async def test_an_answer_cut_in_the_middle_is_no_whole_one() -> None:
    class Cutting(Compressing):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            pieces = [piece async for piece in response.stream]  # type: ignore[union-attr]
            body = FakeBody(pieces[:-2], self._closed)
            return httpx.Response(200, headers=response.headers, stream=body, request=request)

    events = [each.encode() for each in EVENTS[:4]]
    async with running(Cutting("gzip", events=events), endpoint={"route": "openai", **SHORT}) as subject:
        call = await subject.post(stream=True)
        # Nor can /health be read, so that its job may run for the longest time.
        await anyio.sleep(100)
        held = subject.held()
    assert "[DONE]" not in call.events
    assert held == {}
