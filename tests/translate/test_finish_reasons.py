from typing import Any

import pytest

from gateway.errors import JobFailedError
from gateway.translate.finish_reasons import later_reason, missing_reason, read_finish_reason
from tests.factories import raw


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        *((reason, reason) for reason in ("stop", "length", "tool_calls", "content_filter", "function_call")),
        *((word, "stop") for word in ("eos", "eos_token", "stop_sequence", "STOP", "end_turn", "anything else", 1)),
        *((word, "length") for word in ("max_tokens", "MAX_TOKENS", "max_length", "model_length", "Length")),
        *((word, "length") for word in ("maxTokens", "FINISH_REASON_MAX_TOKENS", "FinishReason.length")),
        *((word, "length") for word in ("model_context_window_exceeded", "token_limit")),
        *((word, "tool_calls") for word in ("tool_use", "tool-call", "tool_call", "function_calls", "toolUse")),
        *(
            (word, "content_filter")
            for word in ("sensitive", "PROHIBITED_CONTENT", "BLOCKLIST", "guardrail_intervened")
        ),
        *((word, "") for word in ("null", "None", "normal", "FINISH_REASON_UNSPECIFIED")),
        *((word, "content_filter") for word in ("SAFETY", "content-filter", "refusal")),
        *((nothing, "") for nothing in (None, "", " ", False, [], {})),
        ({"type": "length", "length": 5}, "length"),
        ({"type": "stop", "matched": 2}, "stop"),
    ],
)
def test_every_word_becomes_one_of_openai_s(given: Any, reason: str) -> None:
    assert read_finish_reason(raw(given)) == reason


def test_a_missing_reason_is_no_end() -> None:
    assert not read_finish_reason(None)


@pytest.mark.parametrize(
    "word",
    [
        "abort",
        "error",
        "Aborted",
        "cancelled",
        "timeout",
        "network_error",
        "MALFORMED_FUNCTION_CALL",
        "server_error",
        "insufficient_system_resource",
        "out_of_memory",
        "OOM",
        "kv_cache_full",
        "preempted",
        "rate_limit",
        "RateLimited",
    ],
)
def test_a_choice_that_the_worker_gave_up_is_a_failure(word: str) -> None:
    with pytest.raises(JobFailedError):
        read_finish_reason(raw(word))


def test_the_later_reason_counts_but_hides_no_tool_calls() -> None:
    assert later_reason("stop", "length") == "length"
    assert later_reason("", "stop") == "stop"
    assert later_reason("tool_calls", "stop") == "tool_calls"
    assert later_reason("tool_calls", "length") == "length"
    assert later_reason("length", "stop") == "length"
    assert (missing_reason(has_tool_calls=True), missing_reason(has_tool_calls=False)) == ("tool_calls", "stop")
