import msgspec
import pytest

from gateway.translate.responses.output_items import CustomCall, FunctionCall, Message, text_in
from gateway.translate.responses.tools import DeclaredTool
from tests.factories import raw


def test_the_content_of_a_string_keeps_its_escapes() -> None:
    assert text_in(raw('a"b')) == b'a\\"b'
    assert [text_in(raw(each)) for each in (None, 5, {"a": "b"}, "")] == [b""] * 4


@pytest.mark.parametrize(
    ("arguments", "is_complete"),
    [
        (b"{}", True),
        (b'{\\"a\\":1} ', True),
        (b"", False),
        (b"{", False),
        (b'{\\"a\\":{}', False),
        (b"\\ud800}", False),
    ],
)
def test_a_call_may_close_when_its_arguments_are_an_object(arguments: bytes, *, is_complete: bool) -> None:
    item = FunctionCall("fc_1", 0, call_id="c", tool=DeclaredTool("f"))
    item.delta(arguments)
    assert item.may_close is is_complete
    assert Message("msg_1", 0).may_close


def test_the_input_of_a_custom_call_that_cannot_be_read_is_passed_on() -> None:
    item = CustomCall("ctc_1", 0, call_id="c", tool=DeclaredTool("f", is_custom=True))
    assert item.delta(b"\\ud800") is None
    assert b'"input":"\\ud800"' in item.encoded(b"completed")
    assert msgspec.json.decode(item.encoded(b"in_progress", is_open=True))["input"] == ""
