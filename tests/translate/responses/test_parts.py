from typing import Any

import pytest

from gateway.errors import InvalidRequestError
from gateway.translate.responses.parts import content_of, text_of_parts, type_of
from tests.factories import fields_of, plain, raw

TEXT = {"type": "input_text", "text": "a"}


@pytest.mark.parametrize(
    ("content", "separator", "made"),
    [
        ("a", None, "a"),
        (None, None, ""),
        ([TEXT], None, "a"),
        ([TEXT, {"type": "refusal", "refusal": "b"}], "\n", "a\nb"),
        ([TEXT, TEXT], None, [{"type": "text", "text": "a"}] * 2),
        (
            [TEXT, {"type": "input_image", "image_url": "u", "detail": "low"}],
            "",
            [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}],
        ),
        (
            [{"type": "input_file", "file_data": "d", "filename": "n", "file_id": None}],
            None,
            [{"type": "file", "file": {"file_data": "d", "filename": "n"}}],
        ),
        ([{"type": "input_audio", "input_audio": {}}], None, [{"type": "input_audio", "input_audio": {}}]),
    ],
)
def test_contents(content: Any, separator: str | None, made: Any) -> None:
    assert plain(content_of(raw(content), "p", separator=separator)) == made


@pytest.mark.parametrize(
    ("content", "param", "advice"),
    [
        ([{"type": "input_image", "file_id": "f"}], "p[0].file_id", "image_url"),
        ([{"type": "input_file", "file_id": "f"}], "p[0].file_id", "file_data"),
        ([{"type": "input_text"}], "p[0].text", "text"),
        ([{"type": "refusal", "refusal": 5}], "p[0].refusal", "refusal"),
        ([5], "p", "list of parts"),
    ],
)
def test_a_part_that_cannot_be_read_is_named(content: Any, param: str, advice: str) -> None:
    with pytest.raises(InvalidRequestError, match=advice) as caught:
        content_of(raw(content), "p", separator="")
    assert caught.value.param == param


def test_the_text_of_parts_leaves_others_out() -> None:
    assert text_of_parts(raw([TEXT, {"type": "other"}, TEXT]), "p") == "a\na"
    assert text_of_parts(None, "p") == ""


def test_a_type_that_is_no_text_is_none() -> None:
    assert [type_of(fields_of(each)) for each in ({"type": "a"}, {}, {"type": 5})] == ["a", "", ""]
