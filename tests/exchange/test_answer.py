"""What the client gets of an answer of which a part cannot be read."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.errors import GatewayError, OutputLostError, WorkerError
from gateway.exchange.answer import COUNTED_CHUNKS, Answer, StreamedAnswer, WholeAnswer, understanding
from gateway.fairshare.memory_shares import MemoryShares
from gateway.jobs.answer_memory import WHOLE_COPIES, AnswerMemory
from gateway.translate.chunks import ChunkWriter
from gateway.translate.completion import finish_completion
from gateway.translate.dialects.contract import Chunk, Damage, Delta, Whole
from gateway.translate.worker_errors import output_error
from gateway.wire.openai import Fields
from tests.factories import client_request, fields_of

DAMAGE = Damage(OutputLostError("A part is damaged."))


def answer_to(*, stream: bool) -> Answer:
    request = client_request(stream=stream)
    if not stream:
        return WholeAnswer(request, finish=finish_completion, answer_id="x", created_s=1, note_first=lambda: None)
    writer = ChunkWriter(request, answer_id="x", created_s=1)
    return StreamedAnswer(writer, note_first=lambda: None, note_chunks=lambda _: None)


def chunk(text: str = "", reason: str | None = None) -> Chunk:
    delta: dict[str, Any] = {"content": text} if text else {}
    return Chunk(fields_of({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))


def told(*deltas: Delta, stream: bool) -> bytes:
    answer = answer_to(stream=stream)
    return b"".join(answer.take([delta]) for delta in deltas) + answer.finish()


@pytest.mark.parametrize("stream", [True, False])
class TestDamage:
    def test_after_the_finish_reason_it_is_harmless(self, stream: bool) -> None:
        assert b"hello" in told(chunk("hello"), chunk(reason="stop"), DAMAGE, stream=stream)

    def test_before_the_finish_reason_text_may_be_missing(self, stream: bool) -> None:
        with pytest.raises(OutputLostError):
            told(chunk("hello"), DAMAGE, chunk(reason="stop"), stream=stream)

    def test_alone_it_is_no_answer(self, stream: bool) -> None:
        with pytest.raises(OutputLostError):
            told(DAMAGE, stream=stream)

    def test_text_behind_it_shows_that_text_is_missing(self, stream: bool) -> None:
        for before in ((chunk("hello"),), (chunk("hello"), chunk(reason="stop"))):
            answer = answer_to(stream=stream)
            answer.take([*before, DAMAGE])
            with pytest.raises(OutputLostError):
                answer.take([chunk("world")])

    def test_the_first_error_is_told(self, stream: bool) -> None:
        with pytest.raises(WorkerError) as caught:
            told(chunk("hello"), Damage(output_error("CUDA error")), DAMAGE, stream=stream)
        assert "CUDA" in caught.value.message


def whole(text: str) -> Whole:
    return Whole(fields_of({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}))


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_answer_behind_chunks_repeats_them(stream: bool) -> None:
    text = told(chunk("hello"), whole("hello"), stream=stream)
    assert text.count(b"hello") == 1


def test_the_last_of_two_whole_answers_counts() -> None:
    answer = answer_to(stream=False)
    answer.take([whole("first"), whole("second")])
    assert msgspec.json.decode(answer.finish())["choices"][0]["message"]["content"] == "second"


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), OverflowError("x")])
def test_a_value_of_another_type_than_openai_s_is_lost_output(error: Exception) -> None:
    with pytest.raises(OutputLostError, match="not in OpenAI's format"), understanding:
        raise error


class Keeping(ChunkWriter):
    """A writer that has to repeat its text."""

    is_cumulative = True
    lost = b""

    def unsent(self, events: bytes) -> None:
        self.lost = events


def test_what_a_failure_kept_from_the_client_is_told_to_the_writer() -> None:
    unreadable = Chunk({"choices": Raw(b"\xff")})
    for broken, error in ((chunk("x", reason="error"), GatewayError), (unreadable, OutputLostError)):
        writer = Keeping(client_request(stream=True), answer_id="x", created_s=1)
        answer = StreamedAnswer(writer, note_first=lambda: None, note_chunks=lambda _: None)
        sent = answer.take([chunk("sent")])
        with pytest.raises(error):
            answer.take([chunk("lost"), broken])
        assert b"sent" in sent
        assert b"lost" in writer.lost
        assert b"sent" not in writer.lost


class Stumbling(Keeping):
    """A writer that fails over values of types that it does not expect."""

    def write(self, chunk: Fields) -> bytes:
        if b"odd" in bytes(chunk["choices"]):
            raise KeyError("odd")
        return super().write(chunk)


def test_what_a_misunderstanding_kept_from_the_client_is_told_too() -> None:
    writer = Stumbling(client_request(stream=True), answer_id="x", created_s=1)
    answer = StreamedAnswer(writer, note_first=lambda: None, note_chunks=lambda _: None)
    with pytest.raises(OutputLostError, match="not in OpenAI's format"):
        answer.take([chunk("lost"), chunk("odd")])
    assert b"lost" in writer.lost


def test_text_that_is_repeated_at_the_end_is_counted_every_so_many_chunks() -> None:
    writer = Keeping(client_request(stream=True), answer_id="x", created_s=1)
    answer, room = StreamedAnswer(writer, note_first=lambda: None, note_chunks=lambda _: None), MemoryShares(10**9)
    answer.memory = AnswerMemory(room, "a", is_whole=False)
    for _ in range(COUNTED_CHUNKS):
        answer.take([chunk("a" * 10_000)])
    assert room.held_bytes == 0
    answer.take([chunk("a" * 10_000)])
    assert room.held_bytes == WHOLE_COPIES * COUNTED_CHUNKS * 10_000
