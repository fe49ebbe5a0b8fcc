import msgspec
import pytest

from gateway.errors import OutputLostError
from gateway.translate.responses.choice_parts import Part
from gateway.translate.responses.output import Output
from gateway.translate.responses.output_items import CHECKED_BYTES_MAX, Message, Reasoning


def output(*parts: Part) -> Output:
    made = Output({}, id_suffix="x")
    for part in parts:
        made.add(part)
    return made


def call(index: int, text: bytes, name: str = "") -> Part:
    return Part(index, text, call_id=f"c{index}", name=name)


def said(made: Output) -> list[tuple[str, str]]:
    items = [msgspec.json.decode(each) for each in made.done]
    return [(each["id"], each.get("arguments") or each["content"][0]["text"]) for each in items]


def test_parts_of_one_kind_are_one_item() -> None:
    made = output(Part(Reasoning, b"a"), Part(Reasoning, b"b"), Part(Message, b"c"))
    made.finish(b"completed")
    assert said(made) == [("rs_x0", "ab"), ("msg_x1", "c")]


def test_an_open_item_is_incomplete() -> None:
    made = output(Part(Reasoning, b"a"), Part(Message, b"b"))
    assert [msgspec.json.decode(each)["status"] for each in made.encoded_items()] == ["completed", "incomplete"]
    assert output().encoded_items() == []


def test_what_comes_while_a_call_is_incomplete_waits_for_it() -> None:
    made = output(
        call(0, b'{\\"a\\":', "f"),
        call(1, b"{", "g"),
        Part(Message, b"t"),
        call(2, b"{}", "h"),
        call(1, b"}"),
        call(0, b"1}"),
    )
    made.finish(b"completed")
    assert [each for _, each in said(made)] == ['{"a":1}', "{}", "t", "{}"]


def test_a_call_that_never_ends_is_closed_at_the_end() -> None:
    made = output(call(0, b"{", "f"), call(1, b"{", "g"))
    made.finish(b"incomplete")
    assert [each for _, each in said(made)] == ["{", "{"]


def test_a_call_that_goes_on_after_its_end_is_an_error_unless_it_is_white_space() -> None:
    made = output(call(0, b"{}", "f"), Part(Message, b"t"), call(0, b" \\n"))
    with pytest.raises(OutputLostError, match="went on"):
        made.add(call(0, b"x"))


def test_long_arguments_are_not_checked_for_their_end() -> None:
    long = b'{\\"a\\":\\"%b\\"}' % (b"x" * CHECKED_BYTES_MAX)
    made = output(call(0, long, "f"), Part(Message, b"t"))
    assert made.done == []
    made.finish(b"completed")
    assert len(made.done) == 2


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    made = output()
    made.finish(b"completed")
    assert said(made) == [("msg_x0", "")]
