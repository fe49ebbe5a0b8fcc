import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.json_bounds import DEPTH_MAX, PARTS_MAX, is_within_bounds

MANY = 10_000_000
CPU_S_MAX = 20.0
"""Of the processor's time, of which a busy machine gives less for it: reading again and again would take hours."""
SEVERAL = b'"few":[' + b"{}," * 200 + b'{}],"x":'
"""So many brackets that they have to be looked at."""


def nested(levels: int, around: bytes = b"1") -> bytes:
    return b"[" * levels + around + b"]" * levels


@pytest.mark.parametrize("levels", [1, DEPTH_MAX - 1, DEPTH_MAX])
def test_as_deep_as_may_be(levels: int) -> None:
    assert is_within_bounds(nested(levels))
    assert not is_within_bounds(nested(levels + DEPTH_MAX))


def test_one_level_more_is_too_deep_wherever_it_is() -> None:
    assert is_within_bounds(b"{" + SEVERAL + nested(DEPTH_MAX - 1) + b"}")
    assert not is_within_bounds(b"{" + SEVERAL + nested(DEPTH_MAX) + b"}")
    assert not is_within_bounds(b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1000,
        "]" * 1000,
        '"' + "[" * 1000,
        "\\" + "[" * 1000,
        '\\"' + "[" * 1000 + "\\",
        "\\" * 7 + '"' * 3 + "{" * 500,
        ":" * 10,
    ],
)
def test_brackets_in_a_text_are_text(text: str) -> None:
    before = json.dumps({text: text, "more": [[text], {}] * 100})
    assert is_within_bounds(before.encode())
    assert not is_within_bounds(f'{{"a":{before},"b":{nested(DEPTH_MAX).decode()}}}'.encode())


def test_fields_are_counted() -> None:
    assert is_within_bounds(b"{" + b'"key":1,' * (PARTS_MAX - 2) + b'"key":1}')
    assert not is_within_bounds(b"{" + b'"key":1,' * PARTS_MAX + b'"key":1}')
    assert not is_within_bounds(b"[" + b"{}," * PARTS_MAX + b"{}]")
    assert not is_within_bounds(b"{" + b'"[":"[",' * (PARTS_MAX + 1) + b'"key":1}')
    assert is_within_bounds(b'{"a":"' + b"a:b" * PARTS_MAX + b'"}')
    assert is_within_bounds(b'{"input":[' + b"1," * MANY + b"1]}")


@pytest.mark.parametrize("piece", [b"[", b"[],", b'""', b'"["', b'"[",', b"\\", b'\\"', b'{"a":1},', b'"a":1,'])
def test_the_worst_of_bodies_is_looked_at_in_bounded_time(piece: bytes) -> None:
    body = piece * (MANY // len(piece)) + nested(200)
    started = time.process_time()
    is_within_bounds(body)
    assert time.process_time() - started < CPU_S_MAX


values = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a[]{}:"\\,\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='ab[]{}:"\\'), inner),
)


@given(values, st.integers(min_value=0, max_value=2 * DEPTH_MAX))
def test_it_counts_as_a_reader_of_json_does(value: Any, more: int) -> None:
    body = json.dumps([value, [[]] * 130], ensure_ascii=False).encode()
    expected = depth(value) + more <= DEPTH_MAX - 1 and 2 + more <= DEPTH_MAX
    inner = nested(more, json.dumps(value, ensure_ascii=False).encode())
    assert is_within_bounds(b"[" + inner + b"," + body + b"]") == (expected and depth(json.loads(body)) < DEPTH_MAX)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)
