import pytest

from gateway.translate.choice_state import ChoiceState
from tests.factories import fields_of, plain


def test_it_is_complete_by_its_last_reason() -> None:
    state = ChoiceState()
    assert not state.is_complete
    state.close(
        "stop", fields_of({"logprobs": 1, "stop_reason": 2}), fields_of({"id": "x", "extra": 1}), has_content=True
    )
    assert state.is_complete
    assert (plain(state.ending), plain(state.extra)) == ({"stop_reason": 2}, {"extra": 1})
    state.is_continued = True
    assert not state.is_complete
    state.close("length", {}, {}, has_content=False)
    assert (state.is_complete, state.reason) == (True, "length")


@pytest.mark.parametrize(
    ("streamed", "unsaid"),
    [
        (set(), {"content": "a", "reasoning": "b", "refusal": "c"}),
        ({"content"}, {"reasoning": "b", "refusal": "c"}),
        ({"reasoning_content"}, {"content": "a", "refusal": "c"}),
        ({"content", "reasoning", "refusal"}, {}),
    ],
)
def test_a_message_adds_what_no_delta_said(streamed: set[str], unsaid: dict[str, str]) -> None:
    message = fields_of({"content": "a", "reasoning": "b", "refusal": "c"})
    assert plain(ChoiceState(streamed=streamed).unsaid(message, is_last=True)) == unsaid


def test_messages_go_on_with_each_other_or_grow() -> None:
    state = ChoiceState()
    said = [
        ("ab", False, "ab"),
        ("cd", False, "cd"),
        ("abcdef", False, "ef"),
        ("abcdef", True, ""),
        ("ab", False, "ab"),
    ]
    for content, is_last, unsaid in said:
        assert plain(state.unsaid(fields_of({"content": content}), is_last=is_last)) == {"content": unsaid}
