import pytest
from msgspec import Raw

from gateway.domain import Usage
from gateway.translate.usage import TOKENS_MAX, estimate_usage, read_usage, settle_usage, usage_fields
from tests.factories import plain, raw


@pytest.mark.parametrize("value", [None, {}, [], "x", {"prompt_tokens": None}])
def test_no_count_is_none(value: object) -> None:
    assert read_usage(raw(value)) is None
    assert read_usage(None) is None


def test_a_missing_half_is_nothing() -> None:
    assert read_usage(raw({"prompt_tokens": 5, "completion_tokens": None})) == Usage(prompt_tokens=5)


def test_no_count_is_negative() -> None:
    assert read_usage(raw({"prompt_tokens": -5, "completion_tokens": -1})) == Usage()


def test_a_count_that_cannot_be_true_is_no_count() -> None:
    for tokens in (TOKENS_MAX + 1, 10**400):
        assert read_usage(Raw(b'{"prompt_tokens":%d}' % tokens)) is None


def test_an_estimate_is_marked() -> None:
    usage = estimate_usage(prompt_tokens=3, completion_bytes=4)
    assert usage == Usage(prompt_tokens=3, completion_tokens=1, is_estimate=True)
    assert plain(usage_fields(usage)) == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def test_a_part_of_an_answer_is_one_token_at_least() -> None:
    assert estimate_usage(prompt_tokens=0, completion_bytes=40, parts=30).completion_tokens == 30
    assert estimate_usage(prompt_tokens=0, completion_bytes=400, parts=30).completion_tokens == 100
    assert settle_usage(None, prompt_tokens=3, completion_bytes=4, parts=9).completion_tokens == 9


def test_no_tokens_for_a_text_are_no_count() -> None:
    counted = Usage(prompt_tokens=7)
    assert settle_usage(counted, prompt_tokens=3, completion_bytes=0) is counted
    for given, prompt_tokens in ((counted, 7), (Usage(), 3), (None, 3)):
        usage = settle_usage(given, prompt_tokens=3, completion_bytes=8)
        assert (usage.prompt_tokens, usage.completion_tokens, usage.is_estimate) == (prompt_tokens, 2, True)
