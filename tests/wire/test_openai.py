from msgspec import Raw

from gateway.wire import openai
from tests.factories import fields_of


def test_null_counts_as_absent() -> None:
    fields = fields_of({"a": None, "b": 0})
    assert not openai.is_present(fields, "a")
    assert openai.is_present(fields, "b")
    assert not openai.is_present(fields, "c")


def test_an_error_body_has_all_four_keys() -> None:
    body = openai.encode(openai.ErrorBody(error=openai.ErrorDetail(message="m", type="t")))
    assert body == b'{"error":{"message":"m","type":"t","param":null,"code":null}}'


def test_a_large_value_is_a_part_of_its_own() -> None:
    large = openai.encode("x" * openai.PART_BYTES)
    between, several = {"a": 1, "b": Raw(large), "c": 2}, {"a": Raw(large), "b": Raw(large)}
    for fields in (between, several, {"b": Raw(large)}, {"a": 1}, {}):
        encoded = {name: Raw(openai.encode(value)) for name, value in fields.items()}
        parts = openai.join_fields(encoded)
        assert b"".join(parts) == openai.encode(fields)
        assert sum(isinstance(part, memoryview) for part in parts) == list(encoded.values()).count(Raw(large))
