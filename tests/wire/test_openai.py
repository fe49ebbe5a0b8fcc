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
