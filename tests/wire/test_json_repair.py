import json

import pytest

from gateway.wire.json_repair import Sequence, read_sequence, repaired


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"a":NaN}', {"a": None}),
        (b'{"a":-Infinity,"b":[Infinity,1]}', {"a": None, "b": [None, 1]}),
        (b'{"a":"NaN, \\"Infinity","b":NaN}', {"a": 'NaN, "Infinity', "b": None}),
        (rb'{"a":"x\ud83d"}', {"a": "x\ufffd"}),
        (rb'{"a":"\ude00y"}', {"a": "\ufffdy"}),
        (rb'{"a":"\ud83d\ude00"}', {"a": "\U0001f600"}),
        (rb'{"a":"\ud83d\ud83d\ude00"}', {"a": "\ufffd\U0001f600"}),
        (rb'{"a":"\\ud83d"}', {"a": "\\ud83d"}),
        (rb'{"a":"\\\ud83d"}', {"a": "\\\ufffd"}),
    ],
)
def test_numbers_that_are_not_finite_and_half_pairs_are_replaced(text: bytes, expected: object) -> None:
    assert json.loads(repaired(text)) == expected


@pytest.mark.parametrize("text", [b'{"a":1', b'{"a":"x', b"", b'{"a":1}', b'{"NaN":"Infinity"}', b"\\", b'"\\'])
def test_nothing_else_is_changed(text: bytes) -> None:
    assert repaired(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"a":1}{"b":2}', Sequence([b'{"a":1}', b'{"b":2}'], is_over=False, rest=b"")),
        (b'{"a":1}\n{"b":2}\n', Sequence([b'{"a":1}', b'{"b":2}'], is_over=False, rest=b"")),
        (b'{"a":1}data: {"b":2}data: [DONE]', Sequence([b'{"a":1}', b'{"b":2}'], is_over=True, rest=b"")),
        (b'{"a":1}\n[DONE]', Sequence([b'{"a":1}'], is_over=True, rest=b"")),
        (b'{"a":1}{"b":', Sequence([b'{"a":1}'], is_over=False, rest=b'{"b":')),
        (b'{"a":NaN}x', Sequence([b'{"a":NaN}'], is_over=False, rest=b"x")),
        ('{"a":"é"}{}'.encode(), Sequence(['{"a":"é"}'.encode(), b"{}"], is_over=False, rest=b"")),
        (b'{"a":{"b":1}', Sequence([], is_over=False, rest=b'{"a":{"b":1}')),
        (b"[DONE]", Sequence([], is_over=True, rest=b"")),
        (b"\xff", Sequence([], is_over=False, rest=b"\xff")),
        (b"", Sequence([], is_over=False, rest=b"")),
    ],
)
def test_objects_side_by_side_are_taken_apart(text: bytes, expected: Sequence) -> None:
    assert read_sequence(text) == expected


def test_nesting_has_a_bound() -> None:
    text = b'{"a":' * 200_000
    assert read_sequence(text) == Sequence([], is_over=False, rest=text)


def test_a_text_that_does_not_end_is_searched_once() -> None:
    """Each of its quotes could begin a text; with a search from each this would take minutes."""
    text = b'{"a":"' + rb"\"" * 500_000
    assert repaired(text) == text
