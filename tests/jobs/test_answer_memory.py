import pytest

from gateway.errors import AnswersFullError
from gateway.fairshare.memory_shares import MemoryShares
from gateway.jobs.answer_memory import FEW_OUTPUTS, OUTPUT_BYTES, WHOLE_COPIES, AnswerMemory
from gateway.upstream.job_api import UNCOUNTED_BYTES

LARGE = 4 * UNCOUNTED_BYTES


def test_small_answers_are_not_counted() -> None:
    room = MemoryShares(0)
    place = AnswerMemory(room, "a", is_whole=False)
    place.reply(UNCOUNTED_BYTES // 2)
    place.took(UNCOUNTED_BYTES // 2, is_understood=False)
    with pytest.raises(AnswersFullError):
        place.took(1, is_understood=False)
    assert room.held_bytes == 0


def test_a_reply_takes_the_place_of_the_one_before_it() -> None:
    room = MemoryShares(100 * LARGE)
    place = AnswerMemory(room, "a", is_whole=False)
    for size in (LARGE, 3 * LARGE, 2 * LARGE):
        place.reply(size)
        assert room.held_bytes == size
    place.reply_outputs(FEW_OUTPUTS)
    assert room.held_bytes == 2 * LARGE
    place.reply_outputs(1000)
    assert room.held_bytes == 2 * LARGE + 1000 * OUTPUT_BYTES
    place.reply(0)
    assert room.held_bytes == 0


def test_a_stream_keeps_what_is_not_understood_yet() -> None:
    room = MemoryShares(100 * LARGE)
    place = AnswerMemory(room, "a", is_whole=False)
    place.took(LARGE, is_understood=True)
    assert room.held_bytes == 0
    place.took(LARGE, is_understood=False)
    place.took(LARGE, is_understood=False)
    place.reply(LARGE)
    assert room.held_bytes == 3 * LARGE
    place.took(1, is_understood=True)
    assert room.held_bytes == LARGE
    place.leave()
    place.leave()
    assert room.held_bytes == 0


def test_an_answer_in_one_piece_keeps_all_of_it_and_what_is_made_of_it() -> None:
    room = MemoryShares(100 * LARGE)
    place = AnswerMemory(room, "a", is_whole=True)
    place.took(LARGE, is_understood=True)
    place.took(LARGE, is_understood=False)
    assert room.held_bytes == 4 * LARGE


def test_one_tenant_leaves_some_to_the_next() -> None:
    room = MemoryShares(8 * LARGE)
    greedy = [AnswerMemory(room, "a", is_whole=False) for _ in range(5)]
    for place in greedy[:4]:
        place.reply(LARGE)
    with pytest.raises(AnswersFullError):
        greedy[4].reply(LARGE)
    AnswerMemory(room, "b", is_whole=False).reply(2 * LARGE)


def test_text_that_is_repeated_at_the_end_is_kept_until_then() -> None:
    room = MemoryShares(2 * WHOLE_COPIES * LARGE)
    place = AnswerMemory(room, "a", is_whole=False)
    place.keeps_text(LARGE)
    place.took(1, is_understood=True)
    assert room.held_bytes == WHOLE_COPIES * LARGE
    with pytest.raises(AnswersFullError):
        place.keeps_text(3 * LARGE)
    place.leave()
    assert room.held_bytes == 0
