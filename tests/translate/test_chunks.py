from typing import Any

import msgspec
import pytest

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, Api
from gateway.errors import JobFailedError, OutputLostError, WorkerError
from gateway.translate.chunks import ChunkWriter
from tests.factories import client_request, fields_of


def choice(index: int | None = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    made = {"delta": delta, "finish_reason": finish}
    return made if index is None else {"index": index, **made}


def chunk(*choices: Any, **more: Any) -> dict[str, Any]:
    return {"id": "worker-id", "object": "x", "created": 1, "model": "org/real", "choices": list(choices), **more}


class Written:
    """What a client reads of these chunks."""

    def __init__(self, *chunks: dict[str, Any], api: Api = CHAT_COMPLETIONS, **asked: Any) -> None:
        self.writer = ChunkWriter(client_request(api, stream=True, **asked), answer_id="our-id", created_s=99)
        text = b"".join(self.writer.write(fields_of(each)) for each in chunks) + self.writer.end()
        frames = text.split(b"\n\n")
        assert [frames.pop(), frames.pop()] == [b"", b"data: [DONE]"]
        assert all(frame.startswith(b"data: ") for frame in frames)
        self.chunks = [msgspec.json.decode(frame[6:]) for frame in frames]

    def deltas(self, index: int = 0) -> list[dict[str, Any]]:
        return [each["delta"] for chunk in self.chunks for each in chunk["choices"] if each["index"] == index]

    def reasons(self, index: int = 0) -> list[str | None]:
        return [each["finish_reason"] for chunk in self.chunks for each in chunk["choices"] if each["index"] == index]


GOOD = (
    chunk(choice(role="assistant", content="")),
    chunk(choice(content="Hi")),
    chunk(choice(finish="stop")),
    chunk(usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}),
)


def test_one_identity_on_every_chunk() -> None:
    for each in Written(*GOOD).chunks:
        identity = {name: each[name] for name in ("id", "object", "created", "model")}
        assert identity == {"id": "our-id", "object": "chat.completion.chunk", "created": 99, "model": "m"}


def test_a_good_stream_passes_unchanged_and_without_usage() -> None:
    written = Written(*GOOD)
    assert written.deltas() == [{"role": "assistant", "content": ""}, {"content": "Hi"}, {}]
    assert written.reasons() == [None, None, "stop"]
    assert all("usage" not in each and each["choices"] for each in written.chunks)
    assert written.writer.usage is not None
    assert written.writer.usage.completion_tokens == 1


def test_usage_comes_once_and_last_when_asked_for() -> None:
    written = Written(*GOOD, stream_options={"include_usage": True})
    assert [each.get("usage") for each in written.chunks[:-1]] == [None] * 3
    last = written.chunks[-1]
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 4)


def test_details_of_usage_are_kept() -> None:
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "total_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 2},
    }
    written = Written(chunk(choice(content="a"), usage=usage), stream_options={"include_usage": True})
    assert written.chunks[-1]["usage"] == usage


def test_cumulative_usage_is_not_added_up() -> None:
    parts = [chunk(choice(content="a"), usage={"prompt_tokens": 3, "completion_tokens": n}) for n in (1, 2, 3)]
    written = Written(*parts, stream_options={"include_usage": True})
    assert [each["usage"] for each in written.chunks if "usage" in each] == [
        {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    ]


def test_continuous_usage_is_shown_to_who_asked() -> None:
    parts = [chunk(choice(content="a"), usage={"prompt_tokens": 3, "completion_tokens": n}) for n in (1, 2)]
    written = Written(*parts, stream_options={"continuous_usage_stats": True})
    assert [each.get("usage", {}).get("completion_tokens") for each in written.chunks] == [1, 2, None]


def test_missing_usage_is_estimated_when_asked_for() -> None:
    written = Written(chunk(choice(content="x" * 40)), stream_options={"include_usage": True})
    assert written.chunks[-1]["usage"]["completion_tokens"] == 10
    assert written.writer.settled_usage().is_estimate


def test_a_missing_role_is_given_once_and_first() -> None:
    written = Written(chunk(choice(content="a")), chunk(choice(content="b")))
    assert written.deltas() == [{"role": "assistant", "content": "a"}, {"content": "b"}, {}]


def test_a_repeated_role_is_taken_out() -> None:
    written = Written(chunk(choice(role="assistant", content="a")), chunk(choice(role="assistant", content="b")))
    assert [delta.get("role") for delta in written.deltas()] == ["assistant", None, None]


@pytest.mark.parametrize("missing", [{"delta": {"content": "a"}}, {"delta": {"content": "a"}, "finish_reason": ""}])
def test_an_unfinished_choice_says_null(missing: dict[str, Any]) -> None:
    assert Written(chunk(missing)).reasons() == [None, "stop"]


def test_a_stream_without_a_finish_reason_gets_one() -> None:
    assert Written(chunk(choice(content="a"))).reasons()[-1] == "stop"
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    assert Written(chunk(choice(tool_calls=[call]))).reasons()[-1] == "tool_calls"


def test_a_reason_that_comes_too_early_is_held_back_to_the_end() -> None:
    """su-kaka/gcli2api#403: on every chunk; open-webui#23921: on the first one."""
    written = Written(*(chunk(choice(content=text, finish="stop")) for text in ("Hello ", "wor", "ld")))
    assert [delta.get("content") for delta in written.deltas()] == ["Hello ", "wor", "ld", None]
    assert written.reasons() == [None, None, None, "stop"]
    assert written.writer.is_whole


def test_the_last_reason_counts() -> None:
    early = Written(chunk(choice(content="a", finish="stop")), chunk(choice(content="b", finish="length")))
    assert early.reasons() == [None, None, "length"]
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}
    twice = Written(chunk(choice(tool_calls=[call])), chunk(choice(finish="tool_calls")), chunk(choice(finish="stop")))
    assert twice.reasons() == [None, "tool_calls"]


def test_what_comes_with_a_finish_reason_stays_with_it() -> None:
    end = {
        "index": 0,
        "delta": {"content": "b"},
        "logprobs": {"content": [1]},
        "finish_reason": "stop",
        "stop_reason": 7,
    }
    written = Written(chunk(choice(role="assistant", content="a")), chunk(end, system_fingerprint="fp"))
    *_, text, last = [each["choices"][0] for each in written.chunks]
    assert text == {"index": 0, "delta": {"content": "b"}, "logprobs": {"content": [1]}, "finish_reason": None}
    assert last == {"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": 7}
    # LangChain reads it off the chunk with the finish reason alone.
    assert written.chunks[-1]["system_fingerprint"] == "fp"


@pytest.mark.parametrize("empty", [{}, {"content": ""}, {"content": None}])
def test_chunks_without_content_after_the_end_are_dropped(empty: dict[str, Any]) -> None:
    assert (
        Written(*GOOD[:3], chunk({"index": 0, "delta": empty, "finish_reason": None})).chunks
        == Written(*GOOD[:3]).chunks
    )


def test_a_missing_reason_beside_another_is_a_cut_answer() -> None:
    """ai-dynamo/dynamo#3953: two prompts, and the stream ends after the first one's end."""
    texts = [{"index": index, "text": "x", "finish_reason": None} for index in (0, 1)]
    with pytest.raises(OutputLostError, match="incomplete"):
        Written(chunk(*texts), chunk({**texts[0], "finish_reason": "stop"}), api=COMPLETIONS, prompt=["x", "y"])


def test_a_missing_reason_after_something_unknown_is_a_cut_answer() -> None:
    with pytest.raises(OutputLostError, match="incomplete"):
        Written(chunk(choice(content="a")), {"odd": 1})
    assert Written(chunk(choice(content="a")), {"usage": None}).reasons() == [None, "stop"]


def test_every_prompt_has_its_choices() -> None:
    done = [{"index": index, "text": "x", "finish_reason": "stop"} for index in range(4)]
    written = Written(chunk(*done), api=COMPLETIONS, prompt=["x", "y"], n=2)
    assert written.writer.is_whole
    with pytest.raises(OutputLostError, match="3 of 4"):
        Written(chunk(*done[:3]), api=COMPLETIONS, prompt=["x", "y"], n=2)


def test_choices_beyond_those_asked_for_are_bounded() -> None:
    writer = ChunkWriter(client_request(stream=True), answer_id="x", created_s=1)
    many = [chunk(choice(index, content="a")) for index in range(1000)]
    with pytest.raises(OutputLostError, match="more than"):
        writer.write(fields_of(chunk(*(each["choices"][0] for each in many))))


def test_choices_are_kept_apart() -> None:
    written = Written(
        chunk(choice(0, content="a"), choice(1, content="b")),
        chunk(choice(1, content="c"), choice(0, finish="stop")),
        chunk(choice(1, finish="length")),
        n=2,
    )
    assert written.deltas(0) == [{"role": "assistant", "content": "a"}, {}]
    assert written.deltas(1) == [{"role": "assistant", "content": "b"}, {"content": "c"}, {}]


def test_too_few_choices_are_a_failure() -> None:
    with pytest.raises(OutputLostError, match="1 of 3"):
        Written(chunk(choice(content="a")), n=3)


def test_a_tool_call_is_named_once() -> None:
    def part(arguments: str) -> dict[str, Any]:
        return {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}

    written = Written(chunk(choice(tool_calls=[part('{"a"')])), chunk(choice(tool_calls=[part(":1}")])))
    assert [delta.get("tool_calls") for delta in written.deltas()] == [
        [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}],
        [{"index": 0, "function": {"arguments": ":1}"}}],
        None,
    ]
    assert written.writer.text_bytes >= len('{"a":1}')


def test_a_tool_call_without_index_or_type_is_completed() -> None:
    parts = [{"id": "call_1", "function": {"name": "f"}}, {"function": {"arguments": "{}"}}]
    written = Written(*(chunk(choice(tool_calls=[part])) for part in parts))
    calls = [call for delta in written.deltas() for call in delta.get("tool_calls", [])]
    assert {call["index"] for call in calls} == {0}
    assert calls[0]["type"] == "function"
    assert "".join(call["function"]["arguments"] for call in calls) == "{}"


def test_two_tool_calls_under_one_index_are_told_apart_by_their_ids() -> None:
    calls = [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    written = Written(*(chunk(choice(tool_calls=[call])) for call in calls))
    assert [call["index"] for delta in written.deltas() for call in delta.get("tool_calls", [])] == [0, 1]


def test_a_call_without_an_id_is_written_at_the_end() -> None:
    written = Written(chunk(choice(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}])))
    (call,) = [call for delta in written.deltas() for call in delta.get("tool_calls", [])]
    assert call["id"].startswith("call_")
    assert written.reasons()[-1] == "tool_calls"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (["a", "b"], "ab"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "b"}], "b"),
        ([{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [0]}, "b"], "ab"),
        ([{"type": "text", "text": None}, "b"], "b"),
        ({"type": "text", "text": "a"}, "a"),
        (5, "5"),
        (-0.5, "-0.5"),
    ],
)
def test_content_that_is_no_text_is_read_as_one(content: Any, text: str) -> None:
    assert Written(chunk(choice(role="assistant", content=content))).deltas()[0]["content"] == text


@pytest.mark.parametrize("nothing", [None, [], {}, ""])
def test_nothing_in_place_of_a_value_is_nothing(nothing: Any) -> None:
    odd = [
        chunk(choice(content=nothing)),
        {"choices": nothing},
        chunk({"index": 0, "delta": nothing}),
        chunk(choice(tool_calls=nothing)),
        chunk(choice(), usage=nothing),
    ]
    written = Written(*GOOD[:2], *odd, *GOOD[2:], *odd, stream_options={"include_usage": True})
    texts = [delta.get("content") for delta in written.deltas()]
    assert [text for text in texts if text] == ["Hi"]
    assert not any(delta.get("tool_calls") for delta in written.deltas())
    assert written.reasons()[-1] == "stop"
    assert written.chunks[-1]["usage"]["completion_tokens"] == 1


def test_the_message_so_far_beside_a_delta_is_left_out() -> None:
    for message in ({"content": "Hi"}, None, {}):
        parts = [{"index": 0, "delta": {"content": text}, "message": message} for text in ("H", "i")]
        written = Written(*map(chunk, parts), chunk(choice(finish="stop")))
        assert [delta.get("content") for delta in written.deltas()] == ["H", "i", None]
        assert not any("message" in each for each_chunk in written.chunks for each in each_chunk["choices"])


@pytest.mark.parametrize("delta", [None, {}, []])
def test_a_message_in_place_of_a_delta_is_one(delta: Any) -> None:
    parts = [
        {"index": 0, "delta": delta, "message": {"role": "assistant", "content": text}} for text in ("Hel", "lo!!")
    ]
    written = Written(*map(chunk, parts), chunk(choice(finish="stop")))
    assert "".join(each.get("content") or "" for each in written.deltas()) == "Hello!!"


ENDINGS = ["Hello world", " Hello world ", "Hello w\u00f6rld", ""]


@pytest.mark.parametrize("content", ENDINGS)
@pytest.mark.parametrize("pieces", [["Hello ", "world"], ["one", " two", " three", " four", " five"]])
def test_a_message_at_the_end_of_deltas_repeats_them(pieces: list[str], content: str) -> None:
    said = [chunk(choice(role="assistant", content="")), *(chunk(choice(content=text)) for text in pieces)]
    last = {"index": 0, "delta": {}, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    for first in ([], [chunk(choice(reasoning_content="hm"))]):
        written = Written(said[0], *first, *said[1:], chunk(last))
        assert "".join(delta.get("content") or "" for delta in written.deltas()) == "".join(pieces)
        assert written.reasons()[-1] == "stop"


def test_what_only_the_message_at_the_end_says_is_passed_on() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    message = {"content": "Hi", "reasoning": "hm", "tool_calls": [call]}
    last = chunk({"index": 0, "message": message, "finish_reason": "tool_calls"})
    written = Written(chunk(choice(reasoning_content="hm")), last)
    assert [delta.get("content") for delta in written.deltas()] == ["", "Hi", None]
    assert [delta["tool_calls"] for delta in written.deltas() if "tool_calls" in delta] == [[call]]
    written = Written(*GOOD[:2], chunk(choice(tool_calls=[call])), last)
    assert [delta["tool_calls"] for delta in written.deltas() if "tool_calls" in delta] == [[call]]


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (["Hello ", "world!"], "Hello world!"),
        (["ha", "ha"], "haha"),
        (["Hello", "Hello world", "Hello world"], "Hello world"),
    ],
)
def test_messages_without_deltas_go_on_or_grow(contents: list[str], text: str) -> None:
    *parts, last = [{"index": 0, "message": {"content": content}} for content in contents]
    closing = [chunk(last), chunk(choice(finish="stop"))]
    if contents[-1] == contents[-2] == text:
        closing = [chunk({**last, "finish_reason": "stop"})]
    written = Written(*map(chunk, parts), *closing)
    assert "".join(delta.get("content") or "" for delta in written.deltas()) == text


@pytest.mark.parametrize("delta", [{}, {"role": "assistant"}, {"content": ""}, None])
def test_a_text_beside_a_delta_that_says_nothing_is_the_content(delta: Any) -> None:
    parts = [{"index": 0, "delta": delta, "text": text} for text in ("Hello ", "world")]
    written = Written(*map(chunk, parts), chunk(choice(finish="stop")))
    assert "".join(delta.get("content") or "" for delta in written.deltas()) == "Hello world"
    assert not any("text" in each for made in written.chunks for each in made["choices"])


def test_a_choice_that_is_a_reason_alone_is_lost_output() -> None:
    for odd in ({"finish_reason": "stop"}, {"message": None, "finish_reason": "length"}):
        with pytest.raises(OutputLostError, match="without content"):
            Written(chunk({"index": 0, **odd}))
    assert Written(chunk({"index": 0, "delta": {}, "finish_reason": "stop"})).reasons()[-1] == "stop"
    # Azure's filter leaves none.
    filtered = {"index": 0, "finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": True}}}
    written = Written({"choices": [], "prompt_filter_results": []}, chunk(filtered))
    assert written.reasons()[-1] == "content_filter"


def test_a_delta_that_is_a_text_is_its_content() -> None:
    written = Written(chunk({"index": 0, "delta": "a"}), chunk(choice(content="b", finish="stop")))
    assert [delta.get("content") for delta in written.deltas()] == ["a", "b", None]


def test_content_after_a_reason_means_that_another_reason_is_due() -> None:
    writer = ChunkWriter(client_request(stream=True), answer_id="x", created_s=1)
    for finish, content, is_whole in (
        ("stop", "a", True),
        (None, "b", False),
        (None, "", False),
        ("stop", "", True),
        (None, "", True),
    ):
        writer.write(fields_of(chunk(choice(content=content, finish=finish))))
        assert writer.is_whole is is_whole


@pytest.mark.parametrize(
    ("part", "is_cut"),
    [
        ({"id": "x", "object": "y", "created": 1, "model": "m"}, False),
        ({"type": "ping"}, False),
        ({"event": "heartbeat"}, False),
        ({"usage": {"prompt_tokens": 1}}, False),
        ({"output": "more text"}, True),
        ({"id": "x", "content": "more text"}, True),
    ],
)
def test_only_a_part_that_may_hold_content_makes_a_missing_reason_a_cut(part: Any, is_cut: bool) -> None:
    if is_cut:
        with pytest.raises(OutputLostError, match="incomplete"):
            Written(chunk(choice(content="a")), part)
    else:
        assert Written(chunk(choice(content="a")), part).reasons() == [None, "stop"]


def test_a_choice_without_content_and_without_reason_is_a_cut_answer() -> None:
    with pytest.raises(OutputLostError, match="incomplete"):
        Written(chunk(choice(role="assistant", content="")))
    assert Written(chunk(choice(role="assistant", content="")), chunk(choice(finish="stop"))).reasons()[-1] == "stop"


@pytest.mark.parametrize("index", [0, 1, "1", 7, None, "x"])
def test_the_only_choice_is_the_first_whatever_its_index(index: Any) -> None:
    parts = [{"index": index, "delta": {"content": text}} for text in "ab"]
    written = Written(*map(chunk, parts), chunk({"index": index, "delta": {}, "finish_reason": "length"}))
    assert [delta.get("content") for delta in written.deltas()] == ["a", "b", None]
    assert written.reasons() == [None, None, "length"]


@pytest.mark.parametrize(("first", "other"), [(0, 1), (1, 0), (3, 0), (0, "1")])
def test_a_choice_that_was_not_asked_for_is_kept_apart(first: int, other: Any) -> None:
    written = Written(
        chunk(choice(first, content="Hello ")),
        chunk({"index": other, "delta": {"content": "Bonjour "}}),
        chunk(choice(first, content="world")),
        chunk({"index": other, "delta": {"content": "monde"}}),
        chunk(choice(first, finish="stop")),
    )
    assert "".join(delta.get("content") or "" for delta in written.deltas()) == "Hello world"
    (surplus,) = {each["index"] for made in written.chunks for each in made["choices"]} - {0}
    assert "".join(delta.get("content") or "" for delta in written.deltas(surplus)) == "Bonjour monde"


def test_choices_without_an_index_are_counted_by_position() -> None:
    written = Written(chunk(choice(None, content="a"), choice(None, content="b")), n=2)
    assert [written.deltas(index)[0]["content"] for index in (0, 1)] == ["a", "b"]


def test_empty_choices_that_were_not_asked_for_are_left_out() -> None:
    surplus = {"index": 1, "delta": {}, "finish_reason": None}
    written = Written(chunk(choice(content="a"), surplus), chunk(choice(finish="stop"), surplus))
    assert written.reasons(1) == []
    assert written.reasons(0)[-1] == "stop"


@pytest.mark.parametrize("finish", [None, "error", "stop"])
def test_an_error_in_a_choice_is_raised(finish: str | None) -> None:
    odd = {
        "index": 0,
        "delta": {"content": ""},
        "error": {"message": "overheated", "code": 502},
        "finish_reason": finish,
    }
    with pytest.raises(WorkerError) as caught:
        Written(*GOOD[:2], chunk(odd))
    assert caught.value.message == "overheated"
    assert Written(chunk({**odd, "error": None, "finish_reason": "stop"})).reasons()[-1] == "stop"


def test_the_other_object_s_text_is_not_lost() -> None:
    assert Written(chunk({"index": 0, "text": "a"})).deltas()[0]["content"] == "a"
    written = Written(chunk({"index": 0, "delta": {"content": "a"}}), api=COMPLETIONS)
    assert written.chunks[0]["choices"][0]["text"] == "a"


def test_unknown_fields_pass() -> None:
    odd = chunk(choice(role="assistant", reasoning="hm"), system_fingerprint="fp", error=None)
    odd["choices"][0]["token_ids"] = [1, 2]
    first = Written(odd).chunks[0]
    assert first["system_fingerprint"] == "fp"
    assert first["choices"][0]["token_ids"] == [1, 2]
    assert first["choices"][0]["delta"]["reasoning"] == "hm"
    # openai-go takes the mere key for a failure.
    assert "error" not in first


def test_text_completions_have_no_roles() -> None:
    written = Written({"choices": [{"index": 0, "text": "a", "finish_reason": None}]}, api=COMPLETIONS)
    assert [each["choices"][0] for each in written.chunks] == [
        {"index": 0, "text": "a", "finish_reason": None},
        {"index": 0, "text": "", "finish_reason": "stop"},
    ]
    assert written.chunks[0]["object"] == "text_completion"


@pytest.mark.parametrize("content", [True, {"a": 1}, [5], [{"type": "image_url", "image_url": "x"}]])
def test_content_that_is_no_text_is_a_failure(content: Any) -> None:
    for parts in ([choice(role="assistant", content=content)], [choice(content="a"), choice(content=content)]):
        with pytest.raises(OutputLostError):
            Written(*map(chunk, parts))
    with pytest.raises(OutputLostError):
        Written(chunk({"index": 0, "text": content}), api=COMPLETIONS)


def test_a_text_completion_always_has_its_text() -> None:
    written = Written(chunk({"index": 0, "text": "a"}), chunk({"index": 0, "finish_reason": "stop"}), api=COMPLETIONS)
    assert [each["choices"][0]["text"] for each in written.chunks] == ["a", ""]


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_an_answer_that_the_worker_gave_up_is_a_failure(reason: str) -> None:
    with pytest.raises(JobFailedError):
        Written(chunk(choice(content="a")), chunk(choice(finish=reason)))


@pytest.mark.parametrize("choices", ["x", [1], {"a": 1}, [{"delta": 5}], [{"delta": {"content": {"a": 1}}}]])
def test_a_malformed_chunk_is_a_failure(choices: object) -> None:
    with pytest.raises(OutputLostError):
        Written({"choices": choices})


def test_chunks_without_choices_are_not_passed() -> None:
    nothing = [chunk(), {"choices": None}, {"choices": [None]}, {"usage": None}]
    assert Written(*nothing, *GOOD, *nothing).chunks == Written(*GOOD).chunks


@pytest.mark.parametrize("index", ["0", 0.0, None, -1])
def test_an_odd_index_is_read(index: Any) -> None:
    assert Written(chunk({"index": index, "delta": {"content": "a"}})).deltas()[0]["content"] == "a"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "refusal"])
def test_all_that_is_written_is_counted(name: str) -> None:
    written = Written(
        chunk(choice(role="assistant", content="")), chunk(choice(**{name: "x" * 40}), choice(content="y" * 40))
    )
    assert written.writer.settled_usage().completion_tokens == 20
    both = Written(chunk(choice(role="assistant", reasoning="x" * 40, reasoning_content="x" * 40)))
    assert both.writer.settled_usage().completion_tokens == 10


@pytest.mark.parametrize("name", ["content", "reasoning", "some_field_of_the_worker"])
def test_every_chunk_is_counted_as_a_token_at_least(name: str) -> None:
    parts = [chunk(choice(**{name: "x"})) for _ in range(30)]
    written = Written(chunk(choice(role="assistant", content="")), *parts, chunk(choice(finish="stop")))
    assert written.writer.settled_usage().completion_tokens == 30


def test_every_choice_of_a_chunk_is_counted() -> None:
    both = chunk({"index": 0, "text": "x", "finish_reason": None}, {"index": 1, "text": "y", "finish_reason": None})
    writer = ChunkWriter(client_request(COMPLETIONS, prompt=["a", "b"], stream=True), answer_id="x", created_s=1)
    for _ in range(10):
        writer.write(fields_of(both))
    assert writer.settled_usage().completion_tokens == 20


def test_chunks_after_the_last_count_are_counted() -> None:
    writer = ChunkWriter(client_request(stream=True), answer_id="x", created_s=1)
    writer.write(fields_of(chunk(choice(content="a"), usage={"prompt_tokens": 3, "completion_tokens": 7})))
    for _ in range(10):
        writer.write(fields_of(chunk(choice(content="a"))))
    assert writer.settled_usage().completion_tokens == 17


def test_text_after_the_last_count_is_added_to_it() -> None:
    writer = ChunkWriter(client_request(stream=True), answer_id="x", created_s=1)
    writer.write(fields_of(chunk(choice(content="a" * 40), usage={"prompt_tokens": 3, "completion_tokens": 7})))
    assert writer.settled_usage().completion_tokens == 7
    writer.write(fields_of(chunk(choice(content="a" * 40))))
    usage = writer.settled_usage()
    assert (usage.prompt_tokens, usage.completion_tokens, usage.is_estimate) == (3, 17, True)
    writer.write(fields_of(chunk(choice(finish="stop"))))
    # A complete answer's count is the worker's word on all of it.
    assert writer.settled_usage().completion_tokens == 7


def test_the_idle_chunk_says_nothing() -> None:
    writer = ChunkWriter(client_request(stream=True), answer_id="our-id", created_s=99)
    idle = msgspec.json.decode(writer.idle()[6:])
    assert idle["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]
    assert idle["id"] == "our-id"
