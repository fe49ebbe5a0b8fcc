from typing import Any

import pytest

from gateway.translate.responses.choice_parts import read_parts
from gateway.translate.responses.output_items import Message, Reasoning, Refusal
from tests.factories import raw


def parts(**choice: Any) -> list[tuple[Any, bytes]]:
    return [(each.kind, bytes(each.text)) for each in read_parts(raw([{"index": 0, **choice}]))[0]]


def test_parts_are_in_the_order_in_which_a_model_writes() -> None:
    calls = [{"index": 1, "function": {"arguments": "x"}}, {"index": 2, "custom": {"input": "y"}}, {"index": 3}]
    delta = {"tool_calls": calls, "refusal": "r", "content": "c", "reasoning": "t", "reasoning_content": "t"}
    assert parts(delta=delta) == [
        (Reasoning, b"t"), (Message, b"c"), (Refusal, b"r"), (1, b"x"), (2, b"y"), (3, b""),
    ]  # fmt: skip


def test_other_choices_are_left_out() -> None:
    read = read_parts(
        raw([{"index": 1, "delta": {"content": "a"}, "finish_reason": "length"}, {"index": 0, "finish_reason": "stop"}])
    )
    assert read == ([], "stop")


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}, [1], {"content": [1]}])
def test_log_probabilities_of_another_form_are_none(logprobs: Any) -> None:
    ((part,), _) = read_parts(raw([{"index": 0, "delta": {"content": "a"}, "logprobs": logprobs}]))
    assert part.logprobs == b"[]"
