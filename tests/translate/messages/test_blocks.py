"""One block is open at a time, whatever the order in which parts of blocks arrive."""

import pytest
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.messages import blocks as blocks_module
from gateway.translate.messages.blocks import BlockSequence
from gateway.translate.messages.events import TEXT, THINKING, BlockDelta, BlockEvent, BlockStart, BlockStop
from gateway.wire.openai import decode_string, encode


def said(text: str) -> Raw:
    return Raw(encode(text))


def shown(events: list[BlockEvent]) -> list[str]:
    """Events in short: `+0 text`, `0 Hello`, `-0`."""
    lines = []
    for event in events:
        match event:
            case BlockStart(index=index, block=block):
                lines.append(f"+{index} {block.get('name', block['type'])}")
            case BlockDelta(index=index, text=text):
                lines.append(f"{index} {decode_string(text)}")
            case BlockStop(index=index):
                lines.append(f"-{index}")
    return lines


@pytest.fixture
def blocks() -> BlockSequence:
    return BlockSequence()


def test_a_text_goes_on_until_another_kind_begins(blocks: BlockSequence) -> None:
    assert shown(blocks.add(THINKING, said("hm"))) == ["+0 thinking", "0 hm"]
    assert blocks.text_index is None
    assert shown(blocks.add(TEXT, said("a"))) == ["-0", "+1 text", "1 a"]
    assert shown(blocks.add(TEXT, said("b"))) == ["1 b"]
    assert blocks.text_index == 1
    assert shown(blocks.end(is_cut=False)) == ["-1"]
    assert blocks.end(is_cut=False) == []
    assert not blocks.has_tools


def test_an_empty_text_begins_nothing(blocks: BlockSequence) -> None:
    assert blocks.add(TEXT, said("")) == []
    assert blocks.begin_call(0, call_id="c", name="f") == [
        BlockStart(0, {"type": "tool_use", "id": "c", "name": "f", "input": {}})
    ]
    assert blocks.has_tools


def test_a_call_without_arguments_has_an_empty_object(blocks: BlockSequence) -> None:
    blocks.begin_call(0, call_id="c", name="f")
    assert blocks.add_arguments(0, "") == []
    assert shown(blocks.end(is_cut=False)) == ["0 {}", "-0"]


def test_calls_one_after_the_other_are_written_as_they_arrive(blocks: BlockSequence) -> None:
    blocks.begin_call(0, call_id="c", name="f")
    assert shown(blocks.add_arguments(0, '{"a":')) == ['0 {"a":']
    assert shown(blocks.add_arguments(0, "1}")) == ["0 1}"]
    assert shown(blocks.begin_call(1, call_id="d", name="g")) == ["-0", "+1 g"]
    assert shown(blocks.add_arguments(1, "{}")) == ["1 {}"]


def test_a_later_call_waits_for_the_end_of_an_earlier_one(blocks: BlockSequence) -> None:
    blocks.begin_call(0, call_id="c", name="f")
    assert blocks.begin_call(1, call_id="d", name="g") == []
    assert blocks.add_arguments(1, '{"b":') == []
    assert shown(blocks.add_arguments(0, '{"a":1')) == ['0 {"a":1']
    assert blocks.add_arguments(1, "2}") == []
    assert shown(blocks.add_arguments(0, "}")) == ["0 }", "-0", "+1 g", '1 {"b":', "1 2}"]
    assert shown(blocks.end(is_cut=False)) == ["-1"]


def test_a_text_waits_too_and_is_not_mixed_with_other_texts(blocks: BlockSequence) -> None:
    blocks.begin_call(0, call_id="c", name="f")
    blocks.add_arguments(0, "{")
    assert [*blocks.add(TEXT, said("a")), *blocks.add(TEXT, said("b"))] == []
    assert blocks.begin_call(1, call_id="d", name="g") == []
    assert blocks.add(TEXT, said("c")) == []
    assert shown(blocks.add_arguments(0, "}")) == ["0 }", "-0", "+1 text", "1 a", "1 b", "-1", "+2 g"]
    assert shown(blocks.end(is_cut=False)) == ["2 {}", "-2", "+3 text", "3 c", "-3"]


def test_calls_that_no_arguments_end_are_ended_in_order(blocks: BlockSequence) -> None:
    for number in range(3):
        blocks.begin_call(number, call_id=str(number), name="f")
    assert shown(blocks.end(is_cut=False)) == ["0 {}", "-0", "+1 f", "1 {}", "-1", "+2 f", "2 {}", "-2"]


def test_a_call_that_goes_on_after_its_end_is_a_loss(blocks: BlockSequence) -> None:
    blocks.begin_call(0, call_id="c", name="f")
    blocks.add_arguments(0, "{}")
    blocks.add(TEXT, said("a"))
    assert blocks.add_arguments(0, " \n") == []
    with pytest.raises(OutputLostError, match="after its end"):
        blocks.add_arguments(0, "{}")


def test_arguments_are_checked_where_a_call_ends(blocks: BlockSequence) -> None:
    blocks.begin_call(0, call_id="c", name="f")
    blocks.add_arguments(0, '{"a" 1}')
    with pytest.raises(OutputLostError, match="not a JSON object"):
        blocks.add(TEXT, said("a"))


def test_a_cut_leaves_the_last_call_as_it_is(blocks: BlockSequence) -> None:
    blocks.begin_call(0, call_id="c", name="f")
    blocks.add_arguments(0, '{"a":')
    assert shown(blocks.end(is_cut=True)) == ["-0"]


def test_what_waits_is_bounded(blocks: BlockSequence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "HELD_BYTES_MAX", 100)
    for number in range(2):
        blocks.begin_call(number, call_id=str(number), name="f")
    blocks.add_arguments(1, '{"a":"' + "x" * 60)
    blocks.add_arguments(0, '{"a":"' + "x" * 200 + '"}')
    # The second call is open now, and holds nothing.
    blocks.add_arguments(1, "x" * 200)
    blocks.add(TEXT, said("y" * 60))
    with pytest.raises(OutputLostError, match="wait"):
        blocks.add(TEXT, said("y" * 60))
