import pytest

from gateway.translate import assembled_call
from gateway.translate.assembled_call import HELD_BYTES_MAX, AssembledCall
from tests.factories import plain


def call(*arguments: str, kind: str = "function") -> AssembledCall:
    made = AssembledCall(0, kind, None, name="f")
    for each in arguments:
        made.append(each)
    return made


@pytest.mark.parametrize(
    ("arguments", "is_complete"),
    [
        ((), False),
        (("",), False),
        (("{}",), True),
        (("null",), True),
        (('{"a"', ":1}"), True),
        (('{"a"', ":1"), False),
        (("[1]",), True),
        (("1",), False),
        (("\ud800",), False),
        (("[" * 10_000,), False),
        (('{"a":"' + "x" * HELD_BYTES_MAX + '"}',), False),
    ],
)
def test_arguments_are_complete_as_an_object_or_null(arguments: tuple[str, ...], is_complete: bool) -> None:
    assert call(*arguments).has_complete_arguments is is_complete


def test_the_input_of_a_custom_tool_is_never_complete() -> None:
    assert not call("{}", kind="custom").has_complete_arguments
    assert not call("{}", kind="custom").has_placeholder


def test_an_object_takes_the_place_of_an_empty_one_that_is_not_written() -> None:
    assert plain(call("{}", '{"a":1}').begin(id_prefix="p"))["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert plain(call("{", "}", "{}").begin(id_prefix="p"))["function"]["arguments"] == "{}"
    begun = call("{}")
    begun.begin(id_prefix="p")
    begun.append('{"a":1}')
    assert [plain(each) for each in begun.more({})] == [{"index": 0, "function": {"arguments": '{"a":1}'}}]


def test_null_is_a_placeholder_too() -> None:
    assert plain(call("null", '{"a":1}').begin(id_prefix="p"))["function"]["arguments"] == '{"a":1}'
    assert plain(call("null").begin(id_prefix="p"))["function"]["arguments"] == "null"


@pytest.mark.parametrize(
    ("parts", "arguments"),
    [
        (('{"a"', '{"a":1', '{"a":1}'), '{"a":1}'),
        (("{", '{"a', '{"a":1}'), '{"a":1}'),
        (('{"a":1}', '{"a":1}'), '{"a":1}'),
        # An object that begins like the arguments may stand in them, where JSON allows one.
        (('{"a":', '{"a":1}', "}"), '{"a":{"a":1}}'),
        (('{"a":[', '{"a":[1]}', "]}"), '{"a":[{"a":[1]}]}'),
        (('{"a":"', '{"a":"', '"}'), '{"a":"{"a":""}'),
    ],
)
def test_what_was_said_before_is_left_out(parts: tuple[str, ...], arguments: str) -> None:
    assert plain(call(*parts).begin(id_prefix="p"))["function"]["arguments"] == arguments


def test_the_input_of_a_custom_tool_may_repeat_itself() -> None:
    assert plain(call("ab", "abab", kind="custom").begin(id_prefix="p"))["custom"]["input"] == "ababab"


@pytest.mark.parametrize(
    ("before", "part", "can"),
    [('{"a"', ":1}", True), ('{"a"', '{"b"', False), ('{"a":', '{"b":1}', True), ('{"a"', " ", False)],
)
def test_an_object_goes_on_only_where_json_allows_it(before: str, part: str, can: bool) -> None:
    assert call(before).can_go_on(part) is can


def test_each_part_is_written_once() -> None:
    one = call("{")
    assert plain(one.begin(id_prefix="p")) == {
        "index": 0,
        "id": "call_p00",
        "type": "function",
        "function": {"name": "f", "arguments": "{"},
    }
    assert one.more({}) == []
    one.append("}")
    assert [plain(each) for each in one.more({})] == [{"index": 0, "function": {"arguments": "}"}}]
    assert one.more({}) == []


def test_open_arguments_are_not_read_again_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that repeats the name in each of thousands of parts would have them read as often."""
    reads = []
    monkeypatch.setattr(assembled_call, "_is_value", lambda text: bool(reads.append(text)))
    one = call('{"a": "')
    for _ in range(100):
        one.append("x")
        assert not one.has_complete_arguments
    assert reads == []
    one.append('"}')
    assert not one.has_complete_arguments
    assert len(reads) == 1
