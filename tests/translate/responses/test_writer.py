"""The stream of a response: what each client relies on, and that its events give the object at its end."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain import Usage
from gateway.errors import GatewayError, OutputLostError, TenantLimitError
from gateway.exchange.answer import StreamedAnswer
from gateway.translate.dialects.openai_stream import OpenAIReader
from gateway.translate.error_body import error_answer
from gateway.translate.responses.output import ITEMS_MAX
from gateway.translate.responses.writer import ResponseWriter, finish_response
from tests.effort import tries
from tests.factories import fields_of
from tests.translate.responses.events import Client, asked, call, chunk, events, writer, written

FAILED = error_answer(OutputLostError("boom"))
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
CUSTOM = {"type": "custom", "name": "patch"}
TOOLS = [FUNCTION, {"type": "namespace", "name": "ns", "tools": [{**FUNCTION, "name": "g"}]}, CUSTOM]


def types(told: list[dict[str, Any]]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in told]


def test_a_text_has_all_its_events_in_order() -> None:
    told = written(writer(), chunk(role="assistant", content=""), chunk(content="Hi"), chunk("stop", content=" you"))
    assert types(told) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    (item,) = Client().read(told).final["output"]
    assert item["id"] == "msg_ab0"
    assert item["content"] == [{"type": "output_text", "text": "Hi you", "annotations": [], "logprobs": []}]


def test_reasoning_has_a_part_of_its_own_before_the_text() -> None:
    told = written(writer(), chunk(reasoning_content="So"), chunk(content="Hi", reasoning="."), chunk("stop"))
    assert types(told)[2:6] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
    ]
    thought, said = Client().read(told).final["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "So."}]
    assert (thought["summary"], thought["encrypted_content"]) == ([], None)
    assert said["content"][0]["text"] == "Hi"


def test_what_comes_after_another_kind_opens_a_new_item() -> None:
    told = written(
        writer(tools=TOOLS),
        chunk(content="a"),
        call(0, "{}", "f"),
        chunk(content="b"),
        chunk(reasoning="c"),
        chunk("stop"),
    )
    output = Client().read(told).final["output"]
    # `{}` may be a placeholder, so the call begins at the end.
    assert [each["type"] for each in output] == ["message", "reasoning", "function_call"]
    told = written(writer(tools=TOOLS), call(0, '{"a":1}', "f"), chunk(content="b"), chunk("stop"))
    assert [each["type"] for each in Client().read(told).final["output"]] == ["function_call", "message"]


def test_text_and_calls_of_one_chunk_are_in_this_order() -> None:
    both = chunk(content="a", tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}])
    output = Client().read(written(writer(tools=TOOLS), both, chunk("tool_calls"))).final["output"]
    assert [each["type"] for each in output] == ["message", "function_call"]


def test_calls_whose_arguments_come_in_turns_are_written_one_after_the_other() -> None:
    told = written(
        writer(tools=TOOLS), call(0, '{"a":', "f"), call(1, '{"b":', "ns__g"), call(0, "1}"), call(1, "2}"),
        chunk("tool_calls"),
    )  # fmt: skip
    first, second = Client().read(told).final["output"]
    assert (first["name"], first["arguments"], first["call_id"]) == ("f", '{"a":1}', "call-0")
    assert (second["name"], second["namespace"], second["arguments"]) == ("g", "ns", '{"b":2}')


def test_a_custom_call_is_unwrapped() -> None:
    told = written(writer(tools=TOOLS), call(0, '{"input":', "patch"), call(0, '"a\\nb"}'), chunk("tool_calls"))
    (item,) = Client().read(told).final["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "patch", "a\nb")
    assert item["id"].startswith("ctc_")


def test_a_refusal_is_a_part_of_its_own() -> None:
    (item,) = Client().read(written(writer(), chunk(refusal="No"), chunk("stop"))).final["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "No"}]


@pytest.mark.parametrize(("reason", "told_reason"), [("length", "max_output_tokens"), ("content_filter",) * 2])
def test_a_cut_answer_is_incomplete_and_keeps_its_usage(reason: str, told_reason: str) -> None:
    told = written(writer(), chunk(content="a"), chunk(reason), fields_of({"choices": [], "usage": USAGE}))
    assert types(told)[-1] == "incomplete"
    final = Client().read(told).final
    assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": told_reason})
    assert final["output"][0]["status"] == "incomplete"
    assert final["usage"] == {
        "input_tokens": 3, "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0}, "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 5,
    }  # fmt: skip


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    final = Client().read(written(writer(), chunk(role="assistant", content=""), chunk("stop", content=""))).final
    assert final["output"][0]["content"][0]["text"] == ""


def test_log_probabilities_are_in_the_deltas_and_in_the_item() -> None:
    one = {"token": "a", "logprob": -1.0, "top_logprobs": []}
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [one]}, "finish_reason": None}
    told = written(writer(), fields_of({"choices": [choice]}), fields_of({"choices": [choice]}), chunk("stop"))
    (item,) = Client().read(told).final["output"]
    assert item["content"][0]["logprobs"] == [one, one]


def test_a_sign_of_life_counts_as_an_event_and_begins_the_stream() -> None:
    subject = writer()
    silent = subject.idle() + subject.idle()
    assert types(events(silent)) == ["created", "in_progress", "in_progress"]
    rest = subject.write(chunk(content="a")) + subject.idle() + subject.write(chunk("stop")) + subject.end()
    assert Client().read(events(silent + rest)).final["status"] == "completed"


def test_another_attempt_goes_on_after_the_signs_of_life() -> None:
    subject = writer()
    silent = subject.idle()
    subject.write(chunk(content="never sent"))
    again = subject.again()
    silent += again.idle()
    told = events(silent + again.again().write(chunk(content="a")))
    assert types(told)[:4] == ["created", "in_progress", "in_progress", "output_item.added"]


def test_a_failure_has_what_was_said_and_the_next_number() -> None:
    subject = writer()
    begun = subject.write(chunk(content="Hel"))
    failure = subject.failure(FAILED)
    assert failure == subject.failure(FAILED)
    final = Client().read(events(begun + failure)).final
    assert (final["status"], final["error"]) == ("failed", {"code": "server_error", "message": FAILED.detail.message})
    assert (final["output"][0]["status"], final["output"][0]["content"][0]["text"]) == ("incomplete", "Hel")


def test_a_failure_before_any_event_begins_the_stream() -> None:
    told = events(
        writer().failure(error_answer(TenantLimitError(limit="requests_per_minute", maximum=1, retry_after_s=1.0)))
    )
    assert types(told) == ["created", "failed"]
    assert told[1]["response"]["error"]["code"] == "rate_limit_exceeded"


def test_events_that_a_failure_kept_from_the_client_precede_it() -> None:
    subject = writer()
    answer = StreamedAnswer(subject, note_first=lambda: None, note_chunks=lambda _: None)
    sent = answer.take(OpenAIReader(stream=True).feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'))
    lost = b'data: {"choices":[{"index":0,"delta":{"content":"b"}}]}\n\n'
    broken = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}\n\n'
    deltas = OpenAIReader(stream=True).feed(lost + broken)
    with pytest.raises(GatewayError):
        answer.take(deltas)
    final = Client().read(events(sent + subject.failure(FAILED))).final
    assert final["output"][0]["content"][0]["text"] == "ab"


def test_too_many_items_are_an_error_that_leaves_no_gap() -> None:
    subject = writer()
    begun = b"".join(subject.write(chunk(content="a", reasoning="b")) for _ in range(ITEMS_MAX // 2))
    with pytest.raises(OutputLostError, match="parts"):
        subject.write(chunk(content="a", reasoning="b"))
    assert Client().read(events(begun + subject.failure(FAILED))).final["status"] == "failed"


def test_an_answer_that_is_not_complete_is_an_error() -> None:
    subject = writer()
    with pytest.raises(OutputLostError):
        subject.end()
    with pytest.raises(OutputLostError):
        finish_response(fields_of({}), asked(), answer_id="resp_1", created_s=1, usage=Usage())


def test_a_whole_answer_is_the_object_of_its_stream() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    message = {"role": "assistant", "content": "a", "reasoning": "r", "tool_calls": calls}
    whole = fields_of({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": USAGE})
    usage = Usage(prompt_tokens=3, completion_tokens=2)
    body = finish_response(whole, asked(tools=TOOLS), answer_id="resp_ab", created_s=99, usage=usage)
    stream = written(
        writer(tools=TOOLS), chunk(reasoning="r"), chunk(content="a"), chunk(tool_calls=[{"index": 0, **calls[0]}]),
        chunk("tool_calls"), fields_of({"choices": [], "usage": USAGE}),
    )  # fmt: skip
    assert msgspec.json.decode(body) == stream[-1]["response"]


TEXTS = st.text(max_size=8) | st.sampled_from(["", " word", "\n", '"', "\\", "\u2028", "é", "😀", '{"a":1}', "}"])
SAID = st.one_of(
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"reasoning": TEXTS}),
    st.fixed_dictionaries({"reasoning_content": TEXTS, "content": TEXTS}),
    st.fixed_dictionaries({"refusal": TEXTS}),
)
CALLS = st.lists(
    st.tuples(st.sampled_from(["f", "ns__g", "patch"]), st.sampled_from(['{"input":"x"}', '{"a":{"b":1}}']))
)


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Chunks of an answer, whose tool calls come in pieces that may alternate with each other and with text."""
    queues: list[list[dict[str, Any]]] = [[{"index": 0, "delta": each} for each in draw(st.lists(SAID, max_size=12))]]
    for index, (name, arguments) in enumerate(draw(CALLS)[:4]):
        at = draw(st.integers(0, len(arguments)))
        first = {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": arguments[:at]}}
        rest = {"index": index, "function": {"arguments": arguments[at:]}}
        queues.append([{"index": 0, "delta": {"tool_calls": [each]}} for each in (first, rest)])
    mixed = []
    while queues := [each for each in queues if each]:
        mixed.append(draw(st.sampled_from(queues)).pop(0))
    end = {"index": 0, "delta": {}, "finish_reason": draw(st.sampled_from(["stop", "length", "tool_calls"]))}
    return [{"id": "w", "choices": [{"finish_reason": None, **each}]} for each in [*mixed, end]]


def told_of(chunks: list[dict[str, Any]], slices: list[int], *, plainly: bool = False) -> bytes:
    """What a client receives if the worker's stream is cut at these places."""
    stream = b"".join(b"data: " + msgspec.json.encode(each) + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"
    subject, reader = writer(tools=TOOLS), OpenAIReader(stream=True)
    answer = StreamedAnswer(subject, note_first=lambda: None, note_chunks=lambda _: None)
    told = b""
    cuts = sorted({0, len(stream), *(at % len(stream) for at in slices)})
    for begin, end in pairwise(cuts):
        deltas = reader.feed(stream[begin:end])
        told += b"".join(subject.write(each.fields) for each in deltas) if plainly else answer.take(deltas)  # type: ignore[union-attr]
    if plainly:
        return told + subject.end()
    return told + answer.take(reader.end()) + answer.finish()


@settings(max_examples=tries(300))
@given(answers(), st.lists(st.integers(0, 10_000), max_size=20))
def test_the_events_of_any_answer_give_its_object(chunks: list[dict[str, Any]], slices: list[int]) -> None:
    """The client checks that ids stay, that one item is open at a time, and that no number is left out."""
    told = told_of(chunks, slices)
    client = Client().read(events(told))
    assert client.output == client.final["output"]
    assert told == told_of(chunks, [])
    assert told == told_of(chunks, [], plainly=True)
    ids = [each["id"] for each in client.output]
    assert len(set(ids)) == len(ids)
    said = [each["delta"] for chunk in chunks for each in chunk["choices"]]
    texts = [part.get("text", part.get("refusal")) for each in client.output for part in each.get("content", ())]
    expected = sum(
        len(each.get("content", ""))
        + len(each.get("refusal", "") + (each.get("reasoning") or each.get("reasoning_content", "")))
        for each in said
    )
    assert sum(map(len, texts)) == expected


@settings(max_examples=tries(100))
@given(st.lists(TEXTS, min_size=1, max_size=30))
def test_chunks_that_differ_in_their_text_alone_are_written_as_any_others(texts: list[str]) -> None:
    chunks = [
        {"id": "w", "choices": [{"index": 0, "delta": {"content": each}, "finish_reason": None}]} for each in texts
    ]
    chunks.append({"id": "w", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert told_of(chunks, []) == told_of(chunks, [], plainly=True)


def test_only_texts_of_a_message_become_a_template() -> None:
    """Of a chunk whose constant part has reasoning too, every repetition opens two items."""
    chunks = [{"id": "w", "choices": [{"index": 0, "delta": {"reasoning": "r", "content": each}}]} for each in "abc"]
    chunks.append({"id": "w", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})  # type: ignore[dict-item]
    assert len(Client().read(events(told_of(chunks, []))).output) == 6


def test_text_that_waits_for_a_call_becomes_no_template() -> None:
    opened = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}
    said: list[dict[str, Any]] = [{"tool_calls": [opened]}, *({"content": each} for each in "abc")]
    chunks = [{"id": "w", "choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in said]
    chunks.append({"id": "w", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    call_item, message = Client().read(events(told_of(chunks, []))).output
    assert (call_item["arguments"], message["content"][0]["text"]) == ("{", "abc")


def test_the_ids_are_the_same_whenever_they_are_made() -> None:
    made = [ResponseWriter(asked(), answer_id="resp_x", created_s=1) for _ in range(2)]
    assert made[0].write(chunk(content="a")) == made[1].write(chunk(content="a"))
