"""What the client gets of an answer of which a part cannot be read."""

from typing import Any

import msgspec
import pytest

from gateway.errors import OutputLostError, WorkerError
from gateway.exchange.answer import Answer, StreamedAnswer, WholeAnswer
from gateway.translate.chunks import ChunkWriter
from gateway.translate.completion import finish_completion
from gateway.translate.dialects.contract import Chunk, Damage, Delta, Whole
from gateway.translate.worker_errors import output_error
from tests.factories import client_request, fields_of

DAMAGE = Damage(OutputLostError("A part is damaged."))


class Client:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.text = b""

    async def send(self, frames: bytes) -> None:
        self.text += frames

    async def finish(self, body: bytes) -> None:
        self.text += body


def answer_to(client: Client, *, stream: bool) -> Answer:
    request = client_request(stream=stream)
    if not stream:
        return WholeAnswer(
            request, client, finish=finish_completion, answer_id="x", created_s=1, note_first=lambda: None
        )
    writer = ChunkWriter(request, answer_id="x", created_s=1)
    return StreamedAnswer(writer, client, note_first=lambda: None, note_chunks=lambda _: None)


def chunk(text: str = "", reason: str | None = None) -> Chunk:
    delta: dict[str, Any] = {"content": text} if text else {}
    return Chunk(fields_of({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))


async def told(*deltas: Delta, stream: bool) -> bytes:
    client = Client()
    answer = answer_to(client, stream=stream)
    for delta in deltas:
        await answer.take([delta])
    await answer.finish()
    return client.text


@pytest.mark.parametrize("stream", [True, False])
class TestDamage:
    async def test_after_the_finish_reason_it_is_harmless(self, stream: bool) -> None:
        assert b"hello" in await told(chunk("hello"), chunk(reason="stop"), DAMAGE, stream=stream)

    async def test_before_the_finish_reason_text_may_be_missing(self, stream: bool) -> None:
        with pytest.raises(OutputLostError):
            await told(chunk("hello"), DAMAGE, chunk(reason="stop"), stream=stream)

    async def test_alone_it_is_no_answer(self, stream: bool) -> None:
        with pytest.raises(OutputLostError):
            await told(DAMAGE, stream=stream)

    async def test_text_behind_it_shows_that_text_is_missing(self, stream: bool) -> None:
        for before in ((chunk("hello"),), (chunk("hello"), chunk(reason="stop"))):
            answer = answer_to(Client(), stream=stream)
            await answer.take([*before, DAMAGE])
            with pytest.raises(OutputLostError):
                await answer.take([chunk("world")])

    async def test_the_first_error_is_told(self, stream: bool) -> None:
        with pytest.raises(WorkerError) as caught:
            await told(chunk("hello"), Damage(output_error("CUDA error")), DAMAGE, stream=stream)
        assert "CUDA" in caught.value.message


def whole(text: str) -> Whole:
    return Whole(fields_of({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}))


@pytest.mark.parametrize("stream", [True, False])
async def test_a_whole_answer_behind_chunks_repeats_them(stream: bool) -> None:
    text = await told(chunk("hello"), whole("hello"), stream=stream)
    assert text.count(b"hello") == 1


async def test_the_last_of_two_whole_answers_counts() -> None:
    client = Client()
    answer = answer_to(client, stream=False)
    await answer.take([whole("first"), whole("second")])
    await answer.finish()
    assert msgspec.json.decode(client.text)["choices"][0]["message"]["content"] == "second"
