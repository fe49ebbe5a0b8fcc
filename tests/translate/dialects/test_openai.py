"""Jobs that speak OpenAI: what their outputs make of a request without a stream."""

from typing import Any

import msgspec
import pytest

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, Api
from gateway.exchange.answer import WholeAnswer
from gateway.translate.completion import finish_completion
from gateway.translate.dialects.openai import OpenAIDialect
from tests.factories import client_request, raw

TEXTS = [
    {"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": reason}]}
    for text, reason in (("Hello ", None), ("world", None), ("", "stop"))
]
DELTAS: list[Any] = [
    {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    for delta, reason in (({}, None), ({"content": "Hello "}, None), ({"content": "world"}, None), ({}, "stop"))
]
WHOLE = {"choices": [{"index": 0, "message": {"content": "Hello world"}, "finish_reason": "stop"}]}
NOTHING: list[Any] = [
    {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    {"type": "ping"},
    {"status": "loading"},
    {},
    {"worker_id": "x"},
]


def answered(*outputs: Any, api: Api = CHAT_COMPLETIONS) -> Any:
    request = client_request(api)
    dialect = OpenAIDialect(request, "org/real")
    answer = WholeAnswer(request, finish=finish_completion, answer_id="x", created_s=1, note_first=lambda: None)
    text = b"".join(answer.take(dialect.read(raw(output))) for output in outputs)
    assert dialect.is_over or answer.is_whole or not dialect.marks_end
    text += answer.take(dialect.end())
    return msgspec.json.decode(text + answer.finish())


@pytest.mark.parametrize("as_list", [True, False])
def test_chunks_are_folded_although_no_stream_was_asked_for(as_list: bool) -> None:
    for api, outputs in ((COMPLETIONS, TEXTS), (CHAT_COMPLETIONS, DELTAS), (CHAT_COMPLETIONS, [WHOLE])):
        (choice,) = (answered(*([outputs] if as_list else outputs), api=api))["choices"]
        said = choice["text"] if api is COMPLETIONS else choice["message"]["content"]
        assert (said, choice["finish_reason"]) == ("Hello world", "stop")


@pytest.mark.parametrize("nothing", NOTHING)
@pytest.mark.parametrize("at", ["first", "middle", "last"])
def test_objects_that_hold_nothing_end_no_answer(nothing: Any, at: str) -> None:
    for api, outputs in ((COMPLETIONS, TEXTS), (CHAT_COMPLETIONS, DELTAS), (CHAT_COMPLETIONS, [WHOLE])):
        position = {"first": 0, "middle": len(outputs) // 2, "last": len(outputs)}[at]
        (choice,) = (answered(*outputs[:position], nothing, *outputs[position:], api=api))["choices"]
        assert (choice["text"] if api is COMPLETIONS else choice["message"]["content"]) == "Hello world"


def test_a_text_that_never_gets_a_reason_is_whole_when_its_job_is() -> None:
    (choice,) = (answered(TEXTS[0], api=COMPLETIONS))["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("Hello ", "stop")
