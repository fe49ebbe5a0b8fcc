from typing import Any

import msgspec
import pytest

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, Api
from gateway.domain import Usage
from gateway.errors import JobFailedError, OutputLostError, WorkerError
from gateway.translate.completion import CompletionFold, finish_completion, split_completion, text_bytes
from tests.factories import client_request, fields_of, plain

USAGE = Usage(prompt_tokens=3, completion_tokens=2)


def finish(whole: Any, api: Api = CHAT_COMPLETIONS, **asked: Any) -> Any:
    request = client_request(api, **asked)
    body = finish_completion(fields_of(whole), request, answer_id="our-id", created_s=99, usage=USAGE)
    return msgspec.json.decode(body)


def folded(*chunks: Any, api: Api = CHAT_COMPLETIONS, **asked: Any) -> Any:
    fold = CompletionFold(client_request(api, **asked), answer_id="chatcmpl-x")
    for chunk in chunks:
        fold.add(fields_of(chunk))
    return plain(fold.completion())


def chunk(finish_reason: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]}


def test_a_whole_answer_has_every_required_field() -> None:
    answer = finish({"id": "theirs", "model": "org/real", "choices": [{"index": 0, "message": {"content": "Hi"}}]})
    assert {name: answer[name] for name in ("id", "object", "created", "model")} == {
        "id": "our-id",
        "object": "chat.completion",
        "created": 99,
        "model": "m",
    }
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ]


def test_what_the_worker_adds_passes() -> None:
    whole = {
        "choices": [
            {"index": 0, "message": {"content": None, "reasoning": "hm"}, "finish_reason": "length", "stop_reason": 5}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": {"cached_tokens": 1}},
        "kv_transfer_params": None,
        "prompt_logprobs": [1],
    }
    answer = finish(whole)
    assert answer["choices"][0]["stop_reason"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["reasoning"] == "hm"
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert answer["usage"]["completion_tokens"] == 2
    assert answer["prompt_logprobs"] == [1]


def test_tool_calls_end_with_their_own_reason() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = finish(
        {"choices": [{"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": ""}]}
    )
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert answer["choices"][0]["message"]["tool_calls"] == [call]


def test_an_empty_list_of_tool_calls_is_left_out() -> None:
    answer = finish({"choices": [{"index": 0, "message": {"content": "x", "tool_calls": []}}]})
    assert "tool_calls" not in answer["choices"][0]["message"]


@pytest.mark.parametrize("whole", [{}, {"choices": []}, {"choices": None}, {"choices": "x"}])
def test_no_choices_are_a_failure(whole: Any) -> None:
    with pytest.raises(OutputLostError):
        finish(whole)


def test_too_few_choices_are_a_failure() -> None:
    with pytest.raises(OutputLostError, match="1 of 2"):
        finish({"choices": [{"index": 0, "message": {"content": "x"}}]}, n=2)
    with pytest.raises(OutputLostError, match="1 of 2"):
        finish({"choices": [{"index": 0, "text": "x"}]}, api=COMPLETIONS, prompt=["a", "b"])


def test_a_choice_that_was_cut_is_a_failure() -> None:
    with pytest.raises(OutputLostError, match="incomplete"):
        finish({"choices": [{"message": {}, "finish_reason": "stop"}, {"message": {}, "finish_reason": None}]})


@pytest.mark.parametrize("index", [0, None, "x"])
def test_choices_without_an_index_of_their_own_are_counted(index: Any) -> None:
    answer = finish({"choices": [{"index": index, "message": {"content": text}} for text in "ab"]})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    swapped = finish({"choices": [{"index": 1, "message": {}}, {"index": 0, "message": {}}]})
    assert [choice["index"] for choice in swapped["choices"]] == [1, 0]


def test_the_tool_calls_of_a_whole_answer_are_completed() -> None:
    calls = [{"function": {"name": "f", "arguments": {"n": 1}}}, {"function": {"name": "f", "arguments": "{}"}}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choices = [{"message": message, "finish_reason": "tool_calls"}] * 2
    answer = finish({"choices": choices}, n=2)
    done = [call for choice in answer["choices"] for call in choice["message"]["tool_calls"]]
    assert len({call["id"] for call in done}) == 4
    assert [call["function"]["arguments"] for call in done] == ['{"n":1}', "{}"] * 2
    assert all(call["type"] == "function" for call in done)


def test_folding_follows_the_rules_of_a_stream() -> None:
    def part(arguments: str, **more: Any) -> dict[str, Any]:
        return chunk(tool_calls=[{"function": {"name": "f", "arguments": arguments}, **more}])

    whole = folded(part("{", id="a"), part("}", id="a"), part("{}", id="b"), part("{}"), chunk("stop", content=None))
    (choice,) = whole["choices"]
    assert [(call["id"][:5], call["function"]) for call in choice["message"]["tool_calls"]] == [
        (name, {"name": "f", "arguments": "{}"}) for name in ("a", "b", "call_")
    ]
    assert choice["message"]["content"] is None


def test_a_fold_with_an_early_reason_keeps_all_of_the_text() -> None:
    whole = folded(chunk("stop", content="a"), chunk("stop", content="b"))
    assert whole["choices"][0]["message"]["content"] == "ab"
    assert whole["choices"][0]["finish_reason"] == "stop"


def test_a_fold_that_lacks_a_choice_is_a_failure() -> None:
    texts = [{"index": index, "text": "x", "finish_reason": "stop"} for index in (0, 1)]
    with pytest.raises(OutputLostError, match="1 of 2"):
        folded({"choices": texts[:1]}, api=COMPLETIONS, prompt=["a", "b"])
    fold = CompletionFold(client_request(), answer_id="x")
    assert (fold.has_started, fold.is_whole, fold.usage) == (False, False, None)
    fold.add(fields_of({**chunk("stop", content="abcd"), "usage": {"prompt_tokens": 1}}))
    assert (fold.has_started, fold.is_whole, fold.text_bytes) == (True, True, 4)
    assert plain(fold.usage) == {"prompt_tokens": 1}


def test_an_answer_that_the_worker_gave_up_is_a_failure() -> None:
    with pytest.raises(JobFailedError):
        finish({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "abort"}]})


def test_text_completions_keep_their_text() -> None:
    answer = finish({"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}]}, api=COMPLETIONS)
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [{"index": 0, "text": "x", "finish_reason": "stop", "logprobs": None}]


@pytest.mark.parametrize(
    "odd",
    [
        {"message": {"content": True}},
        {"message": 5},
        {"message": {"tool_calls": "x"}},
        {"message": {"tool_calls": [5]}},
    ],
)
def test_a_choice_of_other_types_is_a_failure(odd: dict[str, Any]) -> None:
    with pytest.raises(OutputLostError):
        finish({"choices": [{"index": 0, "message": {"content": "x"}, **odd}]})


def test_what_clients_read_of_a_choice_is_always_there() -> None:
    chat = finish({"choices": [{"message": {"role": "bot"}}, {"message": {}}]})
    assert [choice["index"] for choice in chat["choices"]] == [0, 1]
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": None}
    assert finish({"choices": [{"text": None}]}, api=COMPLETIONS)["choices"][0]["text"] == ""


@pytest.mark.parametrize("api", [CHAT_COMPLETIONS, COMPLETIONS])
@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"role": "assistant", "content": "x"}},
        {"delta": {"content": "x"}},
        {"message": None, "delta": {"content": "x"}},
        {"text": "x"},
        {"message": "x"},
        {"message": {"content": [{"type": "text", "text": "x"}]}},
    ],
)
def test_the_content_is_found_wherever_it_is(api: Api, choice: Any) -> None:
    (finished,) = finish({"choices": [{"index": 0, **choice, "finish_reason": "stop"}]}, api=api)["choices"]
    if api is COMPLETIONS:
        assert finished == {"index": 0, "text": "x", "logprobs": None, "finish_reason": "stop"}
    else:
        assert finished["message"]["content"] == "x"
        assert finished.keys() == {"index", "message", "logprobs", "finish_reason"}


@pytest.mark.parametrize(
    "choice", [{"finish_reason": "stop"}, {"message": None}, {"delta": None, "finish_reason": "stop"}]
)
def test_a_choice_without_content_is_lost_output(choice: Any) -> None:
    for api in (CHAT_COMPLETIONS, COMPLETIONS):
        with pytest.raises(OutputLostError, match="without content"):
            finish({"choices": [{"index": 0, **choice}]}, api=api)


def test_a_filter_leaves_a_choice_without_content() -> None:
    for api in (CHAT_COMPLETIONS, COMPLETIONS):
        (choice,) = finish({"choices": [{"index": 0, "finish_reason": "content_filter"}]}, api=api)["choices"]
        assert choice["finish_reason"] == "content_filter"
        assert choice.get("text", "") == ""


def test_an_error_in_a_choice_is_raised() -> None:
    with pytest.raises(WorkerError) as caught:
        finish({"choices": [{"index": 0, "message": {"content": ""}, "error": {"message": "overheated"}}]})
    assert caught.value.message == "overheated"


@pytest.mark.parametrize("usage", [[], "", 0, None, {}])
def test_a_usage_that_is_none_is_replaced(usage: Any) -> None:
    answer = finish({"choices": [{"message": {"content": "x"}}], "usage": usage})
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_chunks_fold_into_a_message() -> None:
    whole = folded(
        chunk(role="assistant", content=""),
        chunk(content="Hel", reasoning="a"),
        chunk(content="lo", reasoning="b"),
        chunk("stop"),
        {"choices": [], "usage": {"prompt_tokens": 1}, "system_fingerprint": "fp"},
    )
    assert whole["choices"] == [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello", "reasoning": "ab"}}
    ]
    assert (whole["usage"], whole["system_fingerprint"]) == ({"prompt_tokens": 1}, "fp")


def test_parts_of_tool_calls_fold() -> None:
    def part(index: int, **function: str) -> dict[str, Any]:
        return {"index": index, "function": function}

    whole = folded(
        chunk(tool_calls=[{**part(0, name="f", arguments=""), "id": "c0", "type": "function"}]),
        chunk(tool_calls=[part(0, arguments='{"a"')]),
        chunk(
            tool_calls=[part(0, arguments=":1}"), {**part(1, name="g", arguments="{}"), "id": "c1", "type": "function"}]
        ),
        chunk("tool_calls"),
    )
    assert whole["choices"][0]["message"]["tool_calls"] == [
        {"id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_strings_that_are_repeated_are_not_joined() -> None:
    rating = {"content_filter_results": {"hate": {"severity": "safe", "filtered": False}}, "thought_signature": "sig"}
    whole = folded(
        *({"choices": [{"index": 0, "delta": {"content": "ha", **rating}}]} for _ in range(3)), chunk("stop")
    )
    message = whole["choices"][0]["message"]
    assert message["content"] == "hahaha"
    whole = folded(*[chunk(reasoning_text="ha", content="x")] * 2, chunk("stop"))
    assert whole["choices"][0]["message"]["reasoning_text"] == "haha"
    assert {name: message[name] for name in rating} == rating


@pytest.mark.parametrize("index", [5, -1, None, "x"])
def test_the_only_choice_has_index_0(index: Any) -> None:
    assert finish({"choices": [{"index": index, "message": {"content": "x"}}]})["choices"][0]["index"] == 0


def test_text_is_measured_without_what_is_around_it() -> None:
    calls = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    messages = [{"role": "assistant", "content": "abcd", "reasoning": "ef"}, {"content": None, "tool_calls": calls}]
    choices = [{"index": 0, "message": each, "logprobs": {"content": [1] * 99}} for each in messages]
    assert text_bytes(fields_of({"choices": choices})) == 6 + len(msgspec.json.encode(calls))
    assert text_bytes(fields_of({"choices": [{"text": "abc"}]})) == 3
    assert text_bytes(fields_of({"choices": "x"})) == text_bytes(fields_of({})) == 0


def test_choices_and_lists_fold_apart() -> None:
    first = {"choices": [{"index": 1, "delta": {"content": "b"}, "logprobs": {"content": [1]}, "token_ids": [1]}]}
    second = {"choices": [{"index": 1, "delta": {"content": "c"}, "logprobs": {"content": [2]}, "token_ids": [2]}]}
    whole = folded(chunk(content="a"), first, second, n=2)
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["a", "bc"]
    assert whole["choices"][1]["logprobs"] == {"content": [1, 2]}
    assert whole["choices"][1]["token_ids"] == [1, 2]


def test_nothing_folds_into_nothing() -> None:
    with pytest.raises(OutputLostError, match="0 of 1"):
        folded()
    with pytest.raises(OutputLostError):
        folded({"choices": "x"})


def test_splitting_is_the_reverse_of_folding() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hi", "tool_calls": [call]}
    whole = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"a": 1}}
    chunks = split_completion(fields_of(whole))
    assert folded(*map(plain, chunks))["choices"] == whole["choices"]


def test_choices_without_an_index_are_split_by_position() -> None:
    whole = {"choices": [{"message": {"content": text}} for text in "ab"]}
    chunks = split_completion(fields_of(whole))
    assert [plain(each)["choices"][0]["index"] for each in chunks] == [0, 1]
    assert [choice["message"]["content"] for choice in folded(*map(plain, chunks), n=2)["choices"]] == ["a", "b"]
