"""The rule of tool calls, with the reports that it comes from, and every way of sending the same calls."""

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import OutputLostError
from gateway.translate.assembled_call import HELD_BYTES_MAX
from gateway.translate.tool_calls import CALLS_MAX, ToolCallAssembler, complete_tool_calls
from tests.factories import plain, raw
from tests.invariants.profile import steady

Part = dict[str, Any]
Call = tuple[str, str, str]


def part(name: Any = ..., arguments: Any = ..., **more: Any) -> Part:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not ...}
    return {**more, "function": function}


def assembled(*deltas: list[Part], tools: tuple[str, ...] = ("f", "g", "bash", "get_weather")) -> list[Part]:
    """What is written for these deltas, with what is held back to the end."""
    assembler = ToolCallAssembler(id_prefix="p", tool_names=frozenset(tools))
    written = [each for delta in deltas for each in assembler.add(raw(delta))]
    return [plain(each) for each in [*written, *assembler.flush()]]


def joined(written: list[Part]) -> list[Call]:
    """What OpenAI's clients make of the parts: id and name of the first one, arguments of all."""
    calls: dict[int, list[str]] = {}
    for each in written:
        function = each["function"]
        if each["index"] not in calls:
            assert each["type"] == "function"
            calls[each["index"]] = [each["id"], function["name"], ""]
        else:
            assert each.keys() == {"index", "function"}
            assert function.keys() == {"arguments"}
        calls[each["index"]][2] += function["arguments"]
    assert sorted(calls) == list(range(len(calls)))
    return [(call[0], call[1], call[2]) for _, call in sorted(calls.items())]


REPORTS: dict[str, tuple[list[list[Part]], list[Call]]] = {
    "symfony/ai#2220: an empty id in later parts": (
        [
            [part("bash", "", index=0, id="call_a", type="function")],
            [part(..., '{"command": ', index=0, id="")],
            [part(..., '"ls"}', index=0, id="")],
        ],
        [("call_a", "bash", '{"command": "ls"}')],
    ),
    "poolsideai/pool#9: the id changes, the index wins": (
        [
            [part("f", "", index=0, id="call_1")],
            [part(..., '{"n": ', index=0, id="call_2")],
            [part(..., "1}", index=0)],
        ],
        [("call_1", "f", '{"n": 1}')],
    ),
    "vercel/ai#14737: the name is null first": (
        [[part(None, "", index=0, id="call_a")], [part("bash", "{}", index=0)]],
        [("call_a", "bash", "{}")],
    ),
    "vercel/ai#15879: the name is empty first": (
        [[part("", "", index=0, id="call_a")], [part("bash", "{}", index=0, id="call_a")]],
        [("call_a", "bash", "{}")],
    ),
    "the name comes after the arguments": (
        [[part(..., '{"a"', index=0, id="call_a")], [part(..., ":1}", index=0)], [part("f", "", index=0)]],
        [("call_a", "f", '{"a":1}')],
    ),
    "a name in pieces": (
        [[part("get_", "", index=0, id="a")], [part("weather", "", index=0)], [part(..., "{}", index=0)]],
        [("a", "get_weather", "{}")],
    ),
    "a name that grows": (
        [[part("get_", "", index=0, id="a")], [part("get_weather", "{}", index=0)]],
        [("a", "get_weather", "{}")],
    ),
    "continuedev/continue#13235: no id ever": (
        [[part("bash", '{"command": "ls"}', index=0, type="function")]],
        [("call_p00", "bash", '{"command": "ls"}')],
    ),
    "the id comes last": ([[part("f", "{}", index=0)], [part(..., "", index=0, id="late")]], [("late", "f", "{}")]),
    "SamSaffron/term-llm#314: two calls in one delta, neither index nor id": (
        [[part("f", '{"n": 1}'), part("g", '{"n": 2}')]],
        [("call_p00", "f", '{"n": 1}'), ("call_p01", "g", '{"n": 2}')],
    ),
    "the same, in two deltas": (
        [[part("f", '{"n": '), part("f", '{"m": ')], [part(..., "1}"), part(..., "2}")]],
        [("call_p00", "f", '{"n": 1}'), ("call_p01", "f", '{"m": 2}')],
    ),
    "one after the other, neither index nor id": (
        [[part("f", '{"n": 1}')], [part("f", "")], [part(..., '{"n": 2}')], [part("g", "{}")]],
        [("call_p00", "f", '{"n": 1}'), ("call_p01", "f", '{"n": 2}'), ("call_p02", "g", "{}")],
    ),
    "one after the other under one index, without ids": (
        [[part("f", '{"n": 1}', index=0)], [part("f", '{"n": 2}', index=0)], [part("g", "{}", index=0)]],
        [("call_p00", "f", '{"n": 1}'), ("call_p01", "f", '{"n": 2}'), ("call_p02", "g", "{}")],
    ),
    "vLLM: all calls under index 0, told apart by their ids": (
        [[part("f", "", index=0, id="a")], [part(..., "{}", index=0)], [part("f", "{}", index=0, id="b")]],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    "two calls under one index, by turns": (
        [
            [part("f", '{"n"', index=0, id="a")],
            [part("g", '{"m"', index=0, id="b")],
            [part(..., ":1}", index=0, id="a")],
            [part(..., ":2}", index=0, id="b")],
        ],
        [("a", "f", '{"n":1}'), ("b", "g", '{"m":2}')],
    ),
    "one id for all calls": (
        [[part("f", "{}", index=0, id="x")], [part("g", '{"a"', index=1, id="x")], [part(..., ":1}", index=1, id="x")]],
        [("x", "f", "{}"), ("call_p01", "g", '{"a":1}')],
    ),
    "everything repeated in each part": (
        [[part("f", '{"a"', index=0, id="a")], [part("f", ":1}", index=0, id="a")], [part("f", "", index=0, id="a")]],
        [("a", "f", '{"a":1}')],
    ),
    "the index changes in the middle of a call": (
        [[part("f", "", index=0, id="a")], [part(..., '{"a"', index=1, id="a")], [part(..., ":1}", index=2)]],
        [("a", "f", '{"a":1}')],
    ),
    "the index changes, and all else is repeated": (
        [[part("f", "", index=0, id="a")], [part("f", "{}", index=1, id="a")]],
        [("a", "f", "{}")],
    ),
    "ggml-org/llama.cpp#20198: arguments as an object": (
        [[part("f", {"n": 1}, index=0, id="a")]],
        [("a", "f", '{"n":1}')],
    ),
    "no arguments": (
        [[part("f", None, index=0, id="a")], [part("g", ..., index=1, id="b")]],
        [("a", "f", ""), ("b", "g", "")],
    ),
    "name and arguments beside the id": ([[{"id": "a", "name": "f", "arguments": "{}"}]], [("a", "f", "{}")]),
    "a type that nobody knows": ([[part("f", "{}", index=0, id="a", type="tool")]], [("a", "f", "{}")]),
    "an index in quotes": ([[part("f", "", index="0", id="a")], [part(..., "{}", index="0")]], [("a", "f", "{}")]),
    "two calls at two indexes with one id": (
        [
            [part("f", "", index=0, id="i")],
            [part("f", "", index=1, id="i")],
            [part(..., '{"a":1}', index=0)],
            [part(..., '{"b":2}', index=1)],
        ],
        [("i", "f", '{"a":1}'), ("call_p01", "f", '{"b":2}')],
    ),
    "the same in one delta": (
        [[part("f", "", index=0, id="i"), part("f", "", index=1, id="i")], [part(..., '{"b":2}', index=1)]],
        [("i", "f", ""), ("call_p01", "f", '{"b":2}')],
    ),
    "two calls with one id and without indexes in one delta": (
        [[part("f", {}, id="i"), part("f", {"b": 2}, id="i")]],
        [("i", "f", "{}"), ("call_p01", "f", '{"b":2}')],
    ),
    "two tools with one id and without indexes in one delta": (
        [[part("f", "", id="i"), part("g", "", id="i")]],
        [("i", "f", ""), ("call_p01", "g", "")],
    ),
    "NousResearch/hermes-agent#35718: a whole call again": (
        [
            [part("f", "", index=0, id="i")],
            [part(..., '{"a":1}', index=0)],
            [part("f", '{"a":1}', index=0, id="i")],
            [part(..., '{"a":1}', index=0)],
        ],
        [("i", "f", '{"a":1}')],
    ),
    "vercel/ai#15888: arguments so far in each part": (
        [[part("f", '{"a"', index=0, id="i")], [part(..., '{"a":1', index=0)], [part(..., '{"a":1}', index=0)]],
        [("i", "f", '{"a":1}')],
    ),
    "the arguments under another index than the call": (
        [[part("f", "", index=0, id="i")], [part(..., '{"a":1}', index=1)]],
        [("i", "f", '{"a":1}')],
    ),
    "a call and its arguments in one delta without indexes": (
        [[part("f", "", id="i"), part(..., '{"a":1}')]],
        [("i", "f", '{"a":1}')],
    ),
    "arguments under other names": (
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "parameters": {"a": 1}}}],
            [{"index": 1, "id": "b", "function": {"name": "f", "arguments": None, "input": '{"b":2}'}}],
        ],
        [("a", "f", '{"a":1}'), ("b", "f", '{"b":2}')],
    ),
    "ids and names in each part, and an object in the arguments": (
        [[part("f", text, index=0, id=name)] for text, name in (('{"x":', "a"), ('{"y":1}', "b"), ("}", "c"))],
        [("a", "f", '{"x":{"y":1}}')],
    ),
    "a declared name that goes on after the arguments began": (
        [[part("get_", '{"a"', index=0)], [part("weather", ":1}", index=0)]],
        [("call_p00", "get_weather", '{"a":1}')],
    ),
    "a list as arguments, then another call": (
        [[part("f", "[1]", index=0)], [part("f", '{"a":1}', index=0)]],
        [("call_p00", "f", "[1]"), ("call_p01", "f", '{"a":1}')],
    ),
    "entries that are null": ([[None, part("f", "{}", id="a")]], [("a", "f", "{}")]),
    "entries that say nothing": (
        [
            [{}, part("f", '{"a"', index=0, id="a")],
            [{"index": 1, "type": "function", "function": {"name": "", "arguments": ""}}],
            [{"index": 0, "id": "", "function": {}}, part(..., ":1}", index=0)],
            [part("g", "{}", index=2, id="b")],
        ],
        [("a", "f", '{"a":1}'), ("b", "g", "{}")],
    ),
    "an empty object as a placeholder of arguments": (
        [[part("f", "{}", index=0, id="a")], [part(..., '{"a"', index=0)], [part(..., ":1}", index=0)]],
        [("a", "f", '{"a":1}')],
    ),
    "the same as an object, after a declared name, by the same id": (
        [[part("f", "", index=0, id="a")], [part(..., {}, id="a")], [part("f", '{"a":1}', id="a")]],
        [("a", "f", '{"a":1}')],
    ),
    "an empty object that is all": (
        [[part("f", "{}", index=0, id="a")], [part("f", "", index=0, id="a")], [part("g", "{}", index=1, id="b")]],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "the id changes and the name is repeated in each part": (
        [[part("f", text, index=0, id=name)] for text, name in (('{"a"', "a1"), (":", "a2"), ("1}", "a3"))],
        [("a1", "f", '{"a":1}')],
    ),
    "another tool begins before the arguments are closed": (
        [[part("f", '{"a"', index=0)], [part("g", '{"b":2}', index=0)]],
        [("call_p00", "f", '{"a"'), ("call_p01", "g", '{"b":2}')],
    ),
    "a name is not changed once arguments came": (
        [[part("f", '{"a"', index=0, id="a")], [part("weather", ":1}", index=0, id="a")]],
        [("a", "f", '{"a":1}')],
    ),
    "null for no arguments, one after the other": (
        [[part("f", "null", index=0)], [part("f", "null", index=0)], [part("g", '{"n":1}', index=0)]],
        [("call_p00", "f", "null"), ("call_p01", "f", "null"), ("call_p02", "g", '{"n":1}')],
    ),
    "two calls in one delta under one index, without ids": (
        [
            [part("f", '{"n":', index=0), part("f", '{"m":', index=0)],
            [part(..., "1}", index=0), part(..., "2}", index=1)],
        ],
        [("call_p00", "f", '{"n":1}'), ("call_p01", "f", '{"m":2}')],
    ),
    "name and arguments of one call in one delta": (
        [
            [part("f", "", index=0, id="a"), part(..., '{"a":', index=0)],
            [part(..., "1", index=0), part(..., "}", index=0)],
        ],
        [("a", "f", '{"a":1}')],
    ),
    "the function as JSON in a text": (
        [[{"index": 0, "id": "a", "function": '{"name": "f", "arguments": "{\\"a\\":1}"}'}]],
        [("a", "f", '{"a":1}')],
    ),
}  # fmt: skip


@pytest.mark.parametrize("report", REPORTS)
def test_what_was_reported(report: str) -> None:
    deltas, calls = REPORTS[report]
    assert joined(assembled(*deltas)) == calls


def test_a_declared_tool_is_named_without_delay() -> None:
    assembler = ToolCallAssembler(id_prefix="p", tool_names=frozenset({"f"}))
    assert [plain(each) for each in assembler.add(raw([part("f", "", index=0, id="a", type="function")]))] == [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    ]
    assert [plain(each) for each in assembler.add(raw([part(..., "{", index=0)]))] == [
        {"index": 0, "function": {"arguments": "{"}}
    ]


@pytest.mark.parametrize("tools", [(), ("get", "get_weather")])
def test_a_name_that_may_go_on_is_held_back(tools: tuple[str, ...]) -> None:
    assembler = ToolCallAssembler(id_prefix="p", tool_names=frozenset(tools))
    assert assembler.add(raw([part("get", "", index=0, id="a")])) == []
    written = assembler.add(raw([part("_weather", "", index=0)])) + assembler.add(raw([part(..., "[]", index=0)]))
    assert joined([plain(each) for each in written]) == [("a", "get_weather", "[]")]


def test_undeclared_names_come_in_pieces_too() -> None:
    deltas = [[part("get_", "", index=0, id="a")], [part("weather", "", index=0)], [part(..., "{}", index=0)]]
    assert joined(assembled(*deltas, tools=())) == [("a", "get_weather", "{}")]
    assert joined(assembled([part("f", "", index=0)], [part("f", "{}", index=0, id="a")], tools=())) == [
        ("a", "f", "{}")
    ]


def test_a_name_that_is_not_declared_is_not_changed_once_arguments_came() -> None:
    deltas = [[part("f", '{"a"', index=0)], [part("weather", ":1}", index=0)]]
    assert joined(assembled(*deltas, tools=())) == [("call_p00", "f", '{"a":1}')]


def test_another_declared_tool_begins_another_call_before_any_arguments() -> None:
    assert joined(assembled([part("f", "", id="a")], [part("g", "")])) == [("a", "f", ""), ("call_p01", "g", "")]


def test_fields_that_are_not_known_pass() -> None:
    first, second = assembled(
        [{**part("f", "{", index=0, id="a"), "extra_content": {"x": 1}, "none": None}],
        [{**part(..., "}", index=0), "signature": "s"}],
    )
    assert first["extra_content"] == {"x": 1}
    assert second == {"index": 0, "function": {"arguments": "}"}, "signature": "s"}
    assert "none" not in first


def test_a_list_written_as_an_object_by_number_is_one() -> None:
    """PHP writes an array so where its numbers do not begin at 0 or have a gap."""
    assembler = ToolCallAssembler(id_prefix="p")
    written = assembler.add(raw({"0": part("f", '{"a":1}', id="a"), "2": part("g", '{"b":2}', id="b")}))
    assert joined([plain(each) for each in written]) == [("a", "f", '{"a":1}'), ("b", "g", '{"b":2}')]


def test_two_custom_calls_under_one_index_are_told_apart_by_their_ids() -> None:
    def custom(call_id: str, text: str) -> Part:
        return {"index": 0, "id": call_id, "type": "custom", "custom": {"name": "run", "input": text}}

    written = assembled([custom("a", "abc")], [custom("b", "def")])
    assert [(each["id"], each["custom"]["input"]) for each in written] == [("a", "abc"), ("b", "def")]


def test_custom_tools_keep_their_kind() -> None:
    written = assembled(
        [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "run", "input": "ls"}}],
        [{"index": 0, "custom": {"input": " -l"}}],
    )
    assert written[0] == {"index": 0, "id": "a", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    assert written[1] == {"index": 0, "custom": {"input": " -l"}}


def test_a_call_that_never_gets_a_name_is_lost_output() -> None:
    with pytest.raises(OutputLostError, match="without a name"):
        assembled([part(..., "{}", index=0, id="a")])
    assert assembled([part(None, "", index=0, id="a")]) == []


@pytest.mark.parametrize("calls", ["x", 5, [5], ["x"], [[]], [{"function": []}]])
def test_what_is_no_list_of_objects_is_lost_output(calls: Any) -> None:
    if calls == [{"function": []}]:
        assert assembled(calls) == []
        return
    with pytest.raises(OutputLostError):
        ToolCallAssembler(id_prefix="p").add(raw(calls))


def test_nothing_is_no_call() -> None:
    assembler = ToolCallAssembler(id_prefix="p")
    assert assembler.add(Raw(b"null")) == assembler.add(Raw(b"[]")) == assembler.flush() == []
    assert not assembler.has_calls
    for nothing in ([{}], [None], ["", False], {}, "", [{"index": 0, "function": {"name": None}}], [{"id": "a"}]):
        assert assembler.add(raw(nothing)) == assembler.flush() == []
        assert not assembler.has_calls
    assembler.add(raw([part("f")]))
    assert assembler.has_calls is True


def test_calls_and_held_arguments_are_bounded() -> None:
    assembler = ToolCallAssembler(id_prefix="p")
    many = [part("f", '{"a":1}', index=number, id=f"c{number}") for number in range(CALLS_MAX)]
    assert len(assembler.add(raw(many))) == CALLS_MAX
    with pytest.raises(OutputLostError):
        assembler.add(raw([part("f", "{}", index=CALLS_MAX, id="one more")]))
    assembler = ToolCallAssembler(id_prefix="p")
    assert assembler.add(raw([part("f", "x" * HELD_BYTES_MAX, index=0)])) == []
    (first,) = assembler.add(raw([part(..., "y", index=0)]))
    assert plain(first)["id"] == "call_p00"
    assert len(plain(first)["function"]["arguments"]) == HELD_BYTES_MAX + 1
    # Too long to be checked: another part goes on with it.
    assert [plain(each)["index"] for each in assembler.add(raw([part("f", "{}", index=0)]))] == [0]


def test_generated_ids_differ_among_choices_and_calls() -> None:
    def ids(prefix: str) -> list[str]:
        assembler = ToolCallAssembler(id_prefix=prefix)
        assembler.add(raw([part("f", "{}", index=0), part("f", "{}", index=1)]))
        return [plain(each)["id"] for each in assembler.flush()]

    assert len({*ids("a"), *ids("b")}) == 4


COMPLETE: dict[str, tuple[list[Any], list[Call]]] = {
    "no id": ([part("f", "{}")], [("call_p00", "f", "{}")]),
    "one id twice": ([part("f", "{}", id="a"), part("f", "{}", id="a")], [("a", "f", "{}"), ("call_p01", "f", "{}")]),
    "an object": ([part("f", {"n": 1}, id="a")], [("a", "f", '{"n":1}')]),
    "an entry that says nothing": ([{}, part("f", "{}", id="a")], [("a", "f", "{}")]),
    "null arguments": ([part("f", None, id="a")], [("a", "f", "")]),
    "indexes are of no account": ([part("f", "{}", id="a", index=3)], [("a", "f", "{}")]),
}


@pytest.mark.parametrize("case", COMPLETE)
def test_the_calls_of_a_whole_message_are_completed(case: str) -> None:
    entries, calls = COMPLETE[case]
    done = [plain(each) for each in complete_tool_calls(raw(entries), id_prefix="p")]
    assert [(each["id"], each["function"]["name"], each["function"]["arguments"]) for each in done] == calls
    assert all(each["type"] == "function" and "index" not in each for each in done)


def test_a_whole_call_without_a_name_is_lost_output() -> None:
    with pytest.raises(OutputLostError):
        complete_tool_calls(raw([part("", "{}", id="a")]), id_prefix="p")


# Every way of sending the same calls that a rule can tell apart: the index is told, left out or always 0; the id in the
# first part, in each, late, changing, blank or never; the name first, in each, late or after a blank.

CALLS = st.lists(
    st.tuples(st.sampled_from(["f", "g"]), st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), max_size=2)),
    min_size=1,
    max_size=3,
)
INDEX, ID, NAME = (
    ("told", "zero", "none"),
    ("first", "each", "blank", "late", "changing", "never"),
    ("first", "each", "late"),
)


def parts_of(number: int, call: tuple[str, Any], slices: int, way: tuple[str, str, str]) -> list[Part]:
    """One call in one way of sending it."""
    name, arguments = call[0], json.dumps(call[1])
    how_index, how_id, how_name = way
    step = max(1, len(arguments) // slices)
    texts = [arguments[at : at + step] for at in range(0, len(arguments), step)]
    if how_name == "late" or how_id == "late":
        texts.insert(0, "")
    sent = []
    for at, text in enumerate(texts):
        each = part(..., text)
        if how_index != "none":
            each["index"] = number if how_index == "told" else 0
        if how_id in {"first", "blank", "changing"} and at == 0:
            each["id"] = f"call_{number}"
        elif how_id == "blank":
            each["id"] = ""
        elif how_id == "changing":
            each["id"] = f"call_{number}_{at}"
        elif how_id == "each" or (how_id == "late" and at == 1):
            each["id"] = f"call_{number}"
        if how_name == "each" or at == (1 if how_name == "late" else 0):
            each["function"]["name"] = name
        elif how_name == "late":
            each["function"]["name"] = None if at else ""
        sent.append(each)
    return sent


def is_decidable(way: tuple[str, str, str]) -> bool:
    how_index, _, how_name = way
    # Nothing tells where the next call begins before its name comes.
    return not (how_name == "late" and how_index != "told")


WAYS = [way for way in itertools.product(INDEX, ID, NAME) if is_decidable(way)]


@steady(400)
@given(calls=CALLS, way=st.sampled_from(WAYS), slices=st.integers(1, 4), tools=st.sampled_from([(), ("f", "g")]))
def test_every_way_of_sending_the_same_calls_is_read_alike(
    calls: list[tuple[str, Any]], way: tuple[str, str, str], slices: int, tools: tuple[str, ...]
) -> None:
    sent = [each for number, call in enumerate(calls) for each in parts_of(number, call, slices, way)]
    read = joined(assembled(*([each] for each in sent), tools=tools))
    assert [(name, msgspec.json.decode(arguments)) for _, name, arguments in read] == calls
    assert len({call_id for call_id, _, _ in read}) == len(calls)
    if way[1] != "never":
        assert [call_id for call_id, _, _ in read] == [f"call_{number}" for number in range(len(calls))]


@steady(200)
@given(
    calls=CALLS,
    way=st.sampled_from([way for way in WAYS if way[0] == "told"]),
    slices=st.integers(1, 4),
    data=st.data(),
)
def test_calls_that_are_sent_by_turns_are_kept_apart(
    calls: list[tuple[str, Any]], way: tuple[str, str, str], slices: int, data: st.DataObject
) -> None:
    queues = [parts_of(number, call, slices, way) for number, call in enumerate(calls)]
    # A call's first part comes after those of the calls before it, as indexes are counted up.
    sent = [queue.pop(0) for queue in queues]
    while any(queues):
        sent.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    read = joined(assembled(*([each] for each in sent)))
    said = [(name, msgspec.json.decode(arguments)) for _, name, arguments in read]
    if way[2] == "late" and way[1] in {"late", "never"}:
        # A call is counted from its first part that says something.
        said.sort(key=repr)
        calls = sorted(calls, key=repr)
    assert said == calls
