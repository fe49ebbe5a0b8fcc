from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.wire.lenient import integer_of, is_null, is_object, text_of
from tests.factories import raw


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), ("", ""), (None, ""), (5, "5"), (-1.5, "-1.5"), (True, ""), (False, ""), ([1], ""), ({"a": 1}, "")],
)
def test_texts(value: Any, text: str) -> None:
    assert text_of(raw(value)) == text
    assert not text_of(None)
    assert not text_of(Raw())


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(msgspec.DecodeError):
        text_of(Raw(b'"\\ud83d"'))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        ("3", 3),
        (3.0, 3),
        (-1, -1),
        (3.5, None),
        ("x", None),
        (True, None),
        (None, None),
        ([], None),
        ("9" * 40, None),
    ],
)
def test_integers(value: Any, number: int | None) -> None:
    assert integer_of(raw(value)) == number
    assert integer_of(None) is None


def test_kinds() -> None:
    assert is_null(None)
    assert is_null(Raw())
    assert is_null(raw(None))
    assert not is_null(raw(0))
    assert is_object(raw({}))
    assert not is_object(raw([]))
    assert not is_object(None)
