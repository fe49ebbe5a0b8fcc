"""llama.cpp's events become OpenAI's."""

import json

import pytest

from gateway.demo.answer import Answer, event, fold
from gateway.demo.request import RequestError


def chunk(*choices, **fields):
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": list(choices), **fields}).encode()


def delta(index=0, finish_reason=None, **content):
    return {"index": index, "delta": content, "finish_reason": finish_reason}


def usage(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def read(answer, *events):
    return [chunk for data in events if (chunk := answer.read(data)) is not None]


def test_the_space_before_the_first_word_goes_and_no_other():
    chunks = read(
        Answer(alternatives=1),
        chunk(delta(role="assistant", content=None)),
        chunk(delta(content=" ")),
        chunk(delta(content=" New")),
        chunk(delta(content=" York")),
        chunk(delta(finish_reason="stop")),
    )
    assert [c.choices[0].delta.content for c in chunks[:4]] == ["", "", "New", " York"]
    assert json.loads(event(chunks[4])[6:])["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]


def test_progress_is_dropped_and_usage_comes_once_at_the_end():
    answer = Answer(alternatives=2)
    chunks = read(
        answer,
        chunk(prompt_progress={"total": 9}),
        chunk(delta(1, content="b")),
        chunk(usage=usage(10, 3)),
        chunk(delta(0, content="a")),
        chunk(usage=usage(10, 4)),
    )
    assert [c.choices[0].index for c in chunks] == [1, 0]
    last = json.loads(event(answer.usage_chunk())[6:])
    assert last["choices"] == []
    assert last["usage"] == usage(10, 7)


def test_a_stream_folds_into_a_completion():
    answer = Answer(alternatives=2)
    chunks = read(
        answer,
        chunk(delta(1, role="assistant", content=None)),
        chunk({**delta(1, content="b"), "logprobs": {"content": [{"token": "b"}]}}),
        chunk(delta(0, content="a")),
        chunk(delta(0, finish_reason="length")),
        chunk(delta(1, finish_reason="stop")),
    )
    completion = fold(chunks, answer.usage())
    assert completion["object"] == "chat.completion"
    assert completion["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "a"}, "logprobs": None, "finish_reason": "length"},
        {
            "index": 1,
            "message": {"role": "assistant", "content": "b"},
            "logprobs": {"content": [{"token": "b"}]},
            "finish_reason": "stop",
        },
    ]


def test_a_continuation_folds_into_text():
    answer = Answer(alternatives=1)
    chunks = read(answer, chunk({"index": 0, "text": " so", "finish_reason": "stop"}, object="text_completion"))
    completion = fold(chunks, answer.usage())
    assert completion["object"] == "text_completion"
    assert completion["choices"][0]["text"] == " so"


def test_nothing_folds_into_nothing():
    assert fold([], Answer(alternatives=1).usage())["choices"] == []


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ({"code": 400, "message": "no"}, 400, "no"),
        ({"message": "broken"}, 500, "broken"),
        ({"code": 400, "message": "x", "n_ctx": 9, "n_prompt_tokens": 10}, 400, "maximum context length is 9 tokens"),
    ],
)
def test_errors_are_raised(error, status, message):
    with pytest.raises(RequestError, match=message) as refusal:
        Answer(alternatives=1).read(json.dumps({"error": error}).encode())
    assert refusal.value.status == status
