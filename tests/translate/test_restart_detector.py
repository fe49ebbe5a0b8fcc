from typing import Any

import pytest

from gateway.translate.restart_detector import RUNS_MAX, RestartDetector
from tests.factories import fields_of


def chunk(answer_id: str | None, **delta: Any) -> dict[str, Any]:
    return {"id": answer_id, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def restarts(*chunks: dict[str, Any]) -> list[bool]:
    detector = RestartDetector()
    return [detector.is_restart(fields_of(each)) for each in chunks]


def texts(answer_id: str | None, count: int = 2) -> list[dict[str, Any]]:
    return [chunk(answer_id, role="assistant", content=""), *[chunk(answer_id, content="x")] * count]


def test_one_id_is_one_run() -> None:
    assert not any(restarts(*texts("a", 5), chunk("a")))


def test_the_role_and_text_again_under_another_id_are_a_restart() -> None:
    assert restarts(*texts("a"), *texts("b")) == [False] * 4 + [True, False]


def test_a_role_and_one_text_are_enough_to_know_the_first_id() -> None:
    assert restarts(*texts("a", 1), *texts("b", 1)) == [False] * 3 + [True]


@pytest.mark.parametrize("delta", [{}, {"content": ""}, {"role": "assistant", "content": ""}, {"content": None}])
def test_keep_alive_chunks_with_an_id_of_their_own_are_none(delta: dict[str, Any]) -> None:
    """jundot/omlx#2462: before the first token, and between two."""
    idle = [chunk("keepalive", **delta)] * 3
    assert not any(restarts(*idle, *texts("a", 3), *idle, *[chunk("a", content="x")] * 2, *idle))


def test_a_worker_that_names_every_chunk_tells_once() -> None:
    assert not any(restarts(*[each for name in "abcd" for each in texts(name, 1)[1:]]))


def test_text_under_another_id_without_a_role_is_the_same_run() -> None:
    assert not any(restarts(*texts("a", 3), chunk("b", content="x"), chunk("b", content="x")))


def test_chunks_without_an_id_belong_to_the_run_before_them() -> None:
    absent = {"choices": [{"index": 0, "delta": {"content": "x"}}]}
    assert not any(
        restarts(*texts("a"), absent, chunk(None, content="x"), chunk("", content="x"), chunk("a", content="x"))
    )


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "refusal"])
def test_other_content_counts(name: str) -> None:
    first, second = [chunk(each, role="assistant", **{name: "x"}) for each in "ab"]
    assert restarts(first, first, second) == [False, False, True]
    calls = [chunk(each, role="assistant", tool_calls=[{"index": 0}]) for each in "ab"]
    assert restarts(calls[0], calls[0], calls[1]) == [False, False, True]


def test_text_completions_have_no_roles() -> None:
    first, second = [{"id": each, "choices": [{"index": 0, "text": "x"}]} for each in "ab"]
    assert restarts(first, first, second, second) == [False, False, True, False]


def test_what_cannot_be_read_is_none() -> None:
    assert not any(restarts(*texts("a"), {"id": "b", "choices": 5}, {"id": "c"}))


def test_choices_have_ids_of_their_own() -> None:
    def one(index: int, answer_id: str) -> list[dict[str, Any]]:
        return [{**each, "choices": [{**each["choices"][0], "index": index}]} for each in texts(answer_id)]

    assert not any(restarts(*one(0, "a"), *one(1, "b"), chunk("a", content="x")))
    by_turns = [each for pair in zip(one(0, "a"), one(1, "b"), strict=True) for each in pair]
    assert not any(restarts(*by_turns))
    assert sum(restarts(*by_turns, *one(1, "c"))) == 1
    assert sum(restarts(*by_turns, *one(0, "c"))) == 1


def test_the_answer_may_have_another_id_than_the_reasoning() -> None:
    def thinking(answer_id: str) -> list[dict[str, Any]]:
        return [chunk(answer_id, role="assistant", reasoning_content="hm")] * 3

    assert not any(restarts(*thinking("a"), *texts("b", 3)))
    assert restarts(*thinking("a"), *texts("b", 3), *thinking("c")) == [False] * 7 + [True, False, False]


def test_the_choices_that_are_followed_are_bounded() -> None:
    detector = RestartDetector()
    for index in range(RUNS_MAX + 10):
        each = chunk(f"id-{index}", role="assistant", content="x")
        assert not detector.is_restart(fields_of({**each, "choices": [{**each["choices"][0], "index": index}]}))
    assert len(detector._runs) == RUNS_MAX
