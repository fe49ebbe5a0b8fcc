import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import OutputLostError
from gateway.translate.messages.arguments import Arguments

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a{}[]":\\,\n é'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"{}\\'), inner, max_size=3),
    max_leaves=8,
)


def pieces(text: str, cuts: list[int]) -> list[str]:
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[begin:end] for begin, end in itertools.pairwise(at)]


@given(value=st.dictionaries(st.text('k"{}\\'), VALUES, max_size=4), cuts=st.lists(st.integers(0, 500), max_size=20))
def test_the_end_is_noticed_with_the_last_piece_and_not_before(value: dict[str, Any], cuts: list[int]) -> None:
    arguments, written = Arguments(), ""
    for piece in pieces(json.dumps(value, ensure_ascii=False), cuts):
        assert not arguments.is_complete
        written += arguments.add(piece)
    assert arguments.is_complete
    assert json.loads(written + arguments.end(is_cut=False)) == value


@pytest.mark.parametrize("said", [[], [""], [" "], ["null"], ["nu", "ll"], ["[]"], ['""'], ["\n", "null "]])
def test_no_arguments_are_an_empty_object(said: list[str]) -> None:
    arguments = Arguments()
    assert [arguments.add(piece) for piece in said] == [""] * len(said)
    assert not arguments.is_complete
    assert arguments.end(is_cut=False) == "{}"


def test_white_space_before_the_object_is_kept() -> None:
    arguments = Arguments()
    assert (arguments.add(" \n"), arguments.add('{"a":'), arguments.add("")) == ("", ' \n{"a":', "")


@pytest.mark.parametrize("said", ["5", '"text"', "[1]", "true", "nullified", "nonsense"])
def test_anything_else_is_no_call(said: str) -> None:
    with pytest.raises(OutputLostError, match="not a JSON object"):
        Arguments().add(said)


@pytest.mark.parametrize("said", ['{"a":1', "{a:1}", "{\\}", "{\\n}", '{"a":1}}', '{"a":1}{"b":2}', '{"a":"\ud800"}'])
def test_what_is_not_json_is_told_at_the_end(said: str) -> None:
    arguments = Arguments()
    assert arguments.add(said) == said
    with pytest.raises(OutputLostError, match="not a JSON object"):
        arguments.end(is_cut=False)


@pytest.mark.parametrize("said", ['{"a":1', "", "nu"])
def test_a_cut_may_leave_anything(said: str) -> None:
    arguments = Arguments()
    arguments.add(said)
    assert arguments.end(is_cut=True) == ("" if said.startswith("{") else "{}")
