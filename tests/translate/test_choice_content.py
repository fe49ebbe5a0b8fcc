from typing import Any

import msgspec
import pytest

from gateway.errors import UpstreamError
from gateway.translate.choice_content import (
    completion_text_of,
    content_of,
    delta_of,
    message_of,
    raise_choice_error,
    read_choices,
)
from tests.factories import fields_of, plain, raw


@pytest.mark.parametrize(
    ("choice", "delta", "is_message"),
    [
        ({"delta": {"content": "a"}, "message": {"content": "so far"}, "text": "b"}, {"content": "a"}, False),
        ({"delta": {}, "message": {"content": "a"}}, {"content": "a"}, True),
        ({"delta": [], "message": "a"}, {"content": "a"}, True),
        ({"delta": "a"}, {"content": "a"}, False),
        ({"text": "a"}, {"content": "a"}, False),
        ({"text": None}, {}, False),
        ({}, {}, False),
    ],
)
def test_the_delta_of_a_choice(choice: Any, delta: Any, is_message: bool) -> None:
    found, found_message = delta_of(fields_of(choice))
    assert (plain(found), found_message) == (delta, is_message)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"message": {"content": "a"}, "delta": {"content": "b"}}, {"content": "a"}),
        ({"message": None, "delta": {"content": "b"}}, {"content": "b"}),
        ({"message": [], "delta": {"content": "b"}}, {}),
        ({"text": "a"}, {"content": "a"}),
        ({"message": None}, None),
    ],
)
def test_the_message_of_a_choice(choice: Any, message: Any) -> None:
    found = message_of(fields_of(choice))
    assert (None if found is None else plain(found)) == message


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"text": "a", "message": {"content": "b"}}, "a"),
        ({"text": None, "message": {"content": "b"}}, "b"),
        ({"text": ["a", "b"]}, "ab"),
        ({"delta": {"content": "b"}}, "b"),
        ({"delta": {"role": "assistant"}}, ""),
        ({"text": None}, ""),
        ({"finish_reason": "stop"}, None),
    ],
)
def test_the_text_of_a_choice(choice: Any, text: str | None) -> None:
    found = completion_text_of(fields_of(choice))
    assert (None if found is None else msgspec.json.decode(found)) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        ("", ""),
        (None, None),
        (False, None),
        ([], None),
        ({}, None),
        (0, "0"),
        (1.5e3, "1500.0"),
        (["a", {"type": "text", "text": "b"}], "ab"),
        ([{"type": "reasoning", "summary": []}, {"text": "b"}], "b"),
        ({"text": "a"}, "a"),
    ],
)
def test_a_content_is_a_text_or_null(content: Any, text: str | None) -> None:
    assert msgspec.json.decode(content_of(raw(content))) == text


def test_an_absent_content_is_null() -> None:
    assert bytes(content_of(None)) == b"null"


@pytest.mark.parametrize("content", [True, [5], [{"type": "image_url"}], {"type": "text"}, {"text": 5}])
def test_content_that_is_no_text_is_refused(content: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        content_of(raw(content))


def test_choices_are_objects_and_nothing_is_none() -> None:
    assert [plain(each) for each in read_choices(raw([{"index": 0}, None]))] == [{"index": 0}]
    for nothing in ({}, "", None, False, []):
        assert read_choices(raw(nothing)) == []
    for odd in ({"index": 0}, [1], "x"):
        with pytest.raises(msgspec.ValidationError):
            read_choices(raw(odd))


def test_an_error_is_taken_out_of_a_choice_and_raised() -> None:
    choice = fields_of({"index": 0, "error": None})
    raise_choice_error(choice)
    assert choice.keys() == {"index"}
    with pytest.raises(UpstreamError):
        raise_choice_error(fields_of({"error": "overheated"}))
