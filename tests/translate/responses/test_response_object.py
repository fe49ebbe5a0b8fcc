import msgspec
import pytest
from msgspec import Raw

from gateway.domain import Usage
from gateway.errors import OutputLostError, WorkerError
from gateway.translate.error_body import error_answer
from gateway.translate.responses.response_object import ObjectEncoder, failed_event, response_usage
from tests.factories import fields_of, plain, raw
from tests.translate.responses.events import asked

KEYS = {
    "id", "object", "created_at", "completed_at", "status", "background", "error", "incomplete_details",
    "instructions", "max_output_tokens", "max_tool_calls", "model", "output", "parallel_tool_calls",
    "previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store",
    "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "usage", "user", "metadata",
    "presence_penalty", "frequency_penalty",
}  # fmt: skip
FAILED = error_answer(OutputLostError("boom"))


def encoder(**fields: object) -> ObjectEncoder:
    return ObjectEncoder(asked(**fields), answer_id="resp_1", created_s=5)


def test_every_key_is_present_in_every_state() -> None:
    subject = encoder()
    for made in (
        subject.open(),
        subject.ended([], Raw(b"{}"), incomplete_reason=None),
        subject.ended([], Raw(b"{}"), incomplete_reason="max_output_tokens"),
        subject.failed([], Raw(b"{}"), FAILED),
        msgspec.json.encode(plain(msgspec.json.decode(failed_event(FAILED).partition(b"data: ")[2])["response"])),
    ):
        assert set(msgspec.json.decode(made)) == KEYS


def test_the_client_s_own_values_are_repeated_and_nothing_is_stored() -> None:
    made = msgspec.json.decode(
        encoder(
            store=True,
            temperature=0,
            instructions="i",
            reasoning={"effort": "low"},
            text={"verbosity": "low"},
            user=None,
        ).open()
    )
    assert (made["store"], made["temperature"], made["instructions"], made["user"]) == (False, 0, "i", None)
    assert made["reasoning"] == {"effort": "low", "summary": None}
    assert made["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert (made["model"], made["id"], made["status"], made["output"]) == ("m", "resp_1", "in_progress", [])


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (429, None, "rate_limit_exceeded"),
        (400, "context_length_exceeded", "context_length_exceeded"),
        (500, "x", "server_error"),
    ],
)
def test_a_failure_has_a_code_that_clients_know(status: int, code: str | None, told: str) -> None:
    answer = error_answer(WorkerError(status=status, message="why", type_="t", code=code))
    assert msgspec.json.decode(encoder().failed([], Raw(b"null"), answer))["error"]["code"] == told


def test_usage_has_its_details_or_zeros() -> None:
    usage = Usage(prompt_tokens=3, completion_tokens=4)
    given = {"prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": "1"}}
    made = plain(response_usage(usage, fields_of(given)))
    assert made["input_tokens_details"]["cached_tokens"] == 2
    assert made["output_tokens_details"]["reasoning_tokens"] == 1
    assert (made["input_tokens"], made["output_tokens"], made["total_tokens"]) == (3, 4, 7)
    broken = {"prompt_tokens_details": raw(None), "completion_tokens_details": Raw(b"{")}
    assert plain(response_usage(usage, broken))["output_tokens_details"] == {"reasoning_tokens": 0}
