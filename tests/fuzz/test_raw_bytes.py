"""Bytes on the real server's socket: whatever comes in, what goes out is HTTP, in OpenAI's envelope, and no 500."""

import re
from collections.abc import Iterator

import anyio
import anyio.abc
import h11
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.fuzz import answers
from tests.fuzz.cases import CASES, TIMEOUT, fuzzed
from tests.fuzz.requests import POLITE, Sent, connections
from tests.processes import serving_process
from tests.serving import serving
from tests.stacks import RUNPOD_KEY, config_of

pytestmark = pytest.mark.server

AT_ONCE = 20
"""Connections at a time: most of what they do is to wait for a server that waits for them."""
SILENCE_S = 0.2
"""Without an answer for so long, the server counts as waiting for the rest of a request."""
ANSWER_S_MAX = 30.0
"""Until a request that is whole has its answer."""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory = tmp_path_factory.mktemp("raw")
    with (
        serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY))) as emulator_url,
        serving_process(directory, config_of(emulator_url)) as (_, url),
    ):
        yield int(url.rpartition(":")[2])
        check_log((directory / "out.log").read_text())


def check_log(log: str) -> None:
    """No bug was reported, by the gateway or by its server."""
    assert "exchange.broke" not in log
    assert "Exception in ASGI application" not in log


class Answer(msgspec.Struct):
    """One HTTP response that came back whole."""

    status: int
    headers: dict[str, str]
    body: bytes


@TIMEOUT
@fuzzed(max(1, CASES // AT_ONCE), shrinks=False)
@given(st.lists(connections(), min_size=AT_ONCE, max_size=AT_ONCE))
def test_whatever_comes_in_what_goes_out_is_an_answer(port: int, conversations: list[Sent]) -> None:
    anyio.run(converse, port, conversations)
    polite, _ = anyio.run(talk, port, Sent([POLITE]))
    assert [answer.status for answer in polite] == [200]


async def converse(port: int, conversations: list[Sent]) -> None:
    async with anyio.create_task_group() as tasks:
        for sent in conversations:
            tasks.start_soon(check, port, sent)


async def check(port: int, sent: Sent) -> None:
    got, was_reset = await talk(port, sent)
    # A server that closes with bytes unread resets the connection, and the answer may go down with it.
    assert got or was_reset or not has_whole_request(sent.all), f"a request has no answer: {sent}"
    try:
        for answer in got:
            check_answer(answer)
    except Exception as error:
        raise AssertionError(f"{sent} was answered {got}") from error


def check_answer(answer: Answer) -> None:
    assert "x-request-id" in answer.headers
    content_type = answer.headers.get("content-type", "")
    if answer.status >= 400:
        answers.check_envelope(answer.status, content_type, answer.body)
    elif content_type.startswith("text/event-stream"):
        answers.check_stream(answer.body, model="m")
    elif content_type == "application/json":
        answers.parsed(answer.body)
    else:
        assert answer.status in {200, 204}


async def talk(port: int, sent: Sent) -> tuple[list[Answer], bool]:
    """Send, and read until the server closes, or waits for more; tell whether it broke the connection off."""
    is_due = has_whole_request(sent.all)
    received, was_reset = bytearray(), False
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        try:
            for piece in sent.pieces:
                with anyio.move_on_after(ANSWER_S_MAX):
                    await stream.send(piece)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            was_reset = True
        try:
            while True:
                is_waited_for = is_due and not whole_answers(bytes(received))
                with anyio.fail_after(ANSWER_S_MAX if is_waited_for else SILENCE_S):
                    received += await stream.receive()
        except TimeoutError:
            return whole_answers(bytes(received)), was_reset
        except anyio.EndOfStream:
            return whole_answers(bytes(received), is_closed=True), was_reset
        except anyio.BrokenResourceError:
            return whole_answers(bytes(received)), True


def has_whole_request(sent: bytes) -> bool:
    """Whether another parser of HTTP finds a request in it that is not broken and not cut short."""
    parser = h11.Connection(h11.SERVER)
    try:
        parser.receive_data(sent)
        while isinstance(event := parser.next_event(), h11.Request | h11.Data):
            pass
    except h11.RemoteProtocolError:
        return False
    return isinstance(event, h11.EndOfMessage)


HEAD = re.compile(rb"HTTP/1\.1 (\d{3})[^\r\n]*\r\n")


def whole_answers(received: bytes, *, is_closed: bool = False) -> list[Answer]:
    """The responses in it; what follows the last whole one was cut off with its connection.

    One without a length ends with its connection, as HTTP/1.0 has it.
    """
    found: list[Answer] = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        if not end:
            return found
        first = HEAD.match(head + b"\r\n")
        assert first is not None, head[:200]
        headers = read_headers(head[first.end() :])
        status = int(first[1])
        if status == 100:
            received = rest
            continue
        if status != 204 and not {"content-length", "transfer-encoding"} & set(headers):
            assert headers["connection"] == "close"
            return [*found, Answer(status, headers, rest)] if is_closed else found
        body, received = read_body(status, headers, rest)
        if body is None:
            return found
        found.append(Answer(status, headers, body))
    return found


def read_headers(lines: bytes) -> dict[str, str]:
    pairs = [line.partition(b":") for line in lines.split(b"\r\n") if line]
    assert all(colon and name == name.strip() and name for name, colon, _ in pairs)
    return {name.decode("ascii").lower(): value.strip().decode("latin-1") for name, _, value in pairs}


def read_body(status: int, headers: dict[str, str], rest: bytes) -> tuple[bytes | None, bytes]:
    """The body and what follows it; None where it is not whole."""
    if status == 204:
        return b"", rest
    if headers.get("transfer-encoding") != "chunked":
        length = int(headers["content-length"])
        return (rest[:length], rest[length:]) if len(rest) >= length else (None, b"")
    body = bytearray()
    while True:
        size, end, rest = rest.partition(b"\r\n")
        if not end or len(rest) < int(size, 16) + 2:
            return None, b""
        length = int(size, 16)
        body += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
        if not length:
            return bytes(body), rest
