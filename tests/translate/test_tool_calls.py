from typing import Any

from gateway.translate.completion import CompletionFold
from gateway.translate.tool_calls import mend_tool_call
from tests.factories import fields_of, plain


def mended(*calls: dict[str, Any]) -> list[Any]:
    ids: dict[int, bytes] = {}
    return [plain(mend_tool_call(fields_of(call), ids)) for call in calls]


def part(arguments: str, **more: Any) -> dict[str, Any]:
    return {"function": {"name": "f", "arguments": arguments}, **more}


def test_a_call_is_named_in_its_first_part() -> None:
    first, second = mended(part("{", index=0, id="a", type="function"), part("}", index=0, id="a", type="function"))
    assert first == {"type": "function", "function": {"name": "f", "arguments": "{"}, "index": 0, "id": "a"}
    assert second == {"function": {"arguments": "}"}, "index": 0}


def test_calls_without_index_are_told_apart_by_their_ids() -> None:
    parts = mended(part("1", id="a"), part("2"), part("3", id="b"), part("4", id="a"), part("5"))
    assert [each["index"] for each in parts] == [0, 0, 1, 0, 1]


def test_calls_under_one_index_are_told_apart_by_their_ids() -> None:
    assert [each["index"] for each in mended(part("1", index=0, id="a"), part("2", index=0, id="b"))] == [0, 1]


def test_folding_follows_the_same_rules() -> None:
    fold = CompletionFold()
    for call in (part("{", id="a"), part("}", id="a"), part("{}", id="b")):
        fold.add(fields_of({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
    whole = plain(fold.completion())
    assert whole == plain(fold.completion())
    assert whole["choices"][0]["message"]["tool_calls"] == [
        {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in ("a", "b")
    ]
