import json

import msgspec
import pytest

from gateway.emulator.schema import Filler, Schema, quoted_words


def filled(schema: dict, text: str = "What is the weather?"):
    return Filler(msgspec.json.decode(json.dumps(schema), type=Schema), text).fill()


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "What is the weather?"),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": "integer"}, 1),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "object"}, {}),
        ({"enum": ["red", "green"]}, "red"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"type": "string", "maxLength": 4}, "What"),
        ({"type": "string", "minLength": 22}, "What is the weather?.."),
        ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
        ({"type": "object", "properties": {"a": {}, "b": {"type": "boolean"}}, "required": ["b"]}, {"b": True}),
        ({}, "What is the weather?"),
    ],
)
def test_each_kind_of_schema(schema, value):
    assert filled(schema) == value


def test_references_are_followed():
    schema = {
        "$defs": {"Joke": {"type": "object", "properties": {"setup": {"type": "boolean"}}}},
        "$ref": "#/$defs/Joke",
    }
    assert filled(schema) == {"setup": True}


def test_a_schema_that_refers_to_itself_ends():
    schema = {
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
        "$ref": "#/$defs/Node",
    }
    assert isinstance(filled(schema), dict)


def test_numbers_come_from_the_message_in_order_and_the_last_one_repeats():
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in "abc"}}
    assert filled(schema, "What is 3 + 4?") == {"a": 3, "b": 4, "c": 4}
    assert filled({"type": "number"}, "about -2.5 degrees") == -2.5


@pytest.mark.parametrize(
    ("bounds", "value"),
    [({"minimum": 10}, 10), ({"exclusiveMinimum": 10}, 11), ({"maximum": 2}, 2), ({"exclusiveMaximum": 2}, 1)],
)
def test_numbers_stay_within_their_bounds(bounds, value):
    assert filled({"type": "integer", **bounds}, "5") == value


def test_strings_come_from_quotation_marks_where_there_are_any():
    assert filled({"type": "string"}, "a customer named '你好啊集团' please") == "你好啊集团"
    assert quoted_words("keys 'setup' and \"punchline\" and `x`") == ["setup", "punchline", "x"]
