import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.emulator.script.answer import Answer, Choice
from gateway.emulator.script.dialects import (
    Slicing,
    event_outputs,
    legacy_outputs,
    legacy_result,
    text_outputs,
    token_outputs,
    whole_output,
)
from gateway.emulator.script.openai import Heading, chat_steps
from gateway.emulator.settings import Dialect
from tests.emulator.support import content, read_events

HEADING = Heading(id="chatcmpl-7", created=5, model="m")
ANSWER = Answer(choices=[Choice(tokens=["Grüße", " 你好", " 🌍", " ok"])], prompt_tokens=2)
LONG = Answer(choices=[Choice(tokens=[f" {number}" for number in range(100)])], prompt_tokens=2)


def outputs(dialect: Dialect, answer: Answer = ANSWER, **slicing):
    steps = event_outputs(chat_steps(answer, HEADING, with_usage=True), dialect, Slicing(**({"seed": "s"} | slicing)))
    return [json.loads(output) for output in itertools.chain.from_iterable(steps)]


@given(seed=st.text(max_size=5), slice_bytes=st.integers(0, 300))
def test_raw_event_text_means_the_same_however_it_is_cut(seed, slice_bytes):
    pieces = outputs(Dialect.VLLM, seed=seed, slice_bytes=slice_bytes)
    assert "".join(pieces) == "".join(outputs(Dialect.VLLM, by_event=True))
    assert "\ufffd" not in "".join(pieces)
    if slice_bytes:
        assert max(len(piece.encode()) for piece in pieces) < slice_bytes + 4


def test_one_event_to_an_output():
    pieces = outputs(Dialect.VLLM, by_event=True)
    assert all(piece.startswith("data: ") and piece.endswith("\n\n") for piece in pieces)
    events = read_events("".join(pieces))
    assert len(events) == len(pieces)
    assert events[-1] == "[DONE]"
    assert content(events) == "Grüße 你好 🌍 ok"


def test_cut_characters_become_replacement_characters():
    text = "".join(outputs(Dialect.VLLM, slice_bytes=1, cuts_characters=True))
    assert "\ufffd" in text
    assert "🌍" not in text
    assert content(read_events(text)).endswith(" ok")


def test_arbitrary_cuts_do_go_through_events():
    pieces = outputs(Dialect.VLLM, LONG)
    assert any(not piece.startswith("data: ") for piece in pieces)


def test_batches_of_whole_events_grow():
    pieces = outputs(Dialect.VLLM_BATCHED, LONG)
    assert all(piece.startswith("data: ") and piece.endswith("\n\n") for piece in pieces)
    assert [len(read_events(piece)) for piece in pieces[:5]] == [1, 3, 9, 27, 50]
    events = read_events("".join(pieces))
    assert (events[-1], content(events)) == ("[DONE]", LONG.choices[0].text)


def test_lists_of_chunk_objects_have_no_done():
    chunks = list(itertools.chain.from_iterable(outputs(Dialect.VLLM_DICTS)))
    assert all(isinstance(chunk, dict) for chunk in chunks)
    assert content(chunks) == "Grüße 你好 🌍 ok"
    assert chunks[-1]["usage"]["completion_tokens"] == 4


def test_sglang_pretty_prints_and_yields_everything_at_the_end():
    steps = list(event_outputs(chat_steps(ANSWER, HEADING, with_usage=True), Dialect.SGLANG, Slicing(seed="s")))
    assert [len(step) for step in steps[:-1]] == [0] * (len(steps) - 1)
    text = "".join(json.loads(output) for output in steps[-1])
    assert "\ndata:   " in text
    events = read_events(text)
    assert (events[-1], content(events)) == ("[DONE]", "Grüße 你好 🌍 ok")


@pytest.mark.parametrize(("dialect", "kind"), [(Dialect.SGLANG, str), (Dialect.VLLM, dict), (Dialect.VLLM_DICTS, dict)])
def test_a_whole_answer_is_an_object_or_json_text(dialect, kind):
    assert isinstance(json.loads(whole_output(b'{"id":"x"}', dialect)), kind)


def test_token_batches_count_up():
    batches = [json.loads(output) for output in itertools.chain.from_iterable(token_outputs(LONG, is_stream=True))]
    assert [batch["usage"]["output"] for batch in batches] == [1, 4, 13, 40, 90, 100]
    assert {batch["usage"]["input"] for batch in batches} == {2}
    assert "".join(batch["choices"][0]["tokens"][0] for batch in batches) == LONG.choices[0].text
    (whole,) = itertools.chain.from_iterable(token_outputs(LONG, is_stream=False))
    assert json.loads(whole)["choices"] == [{"tokens": [LONG.choices[0].text]}]


def test_token_batches_have_a_choice_for_each_alternative():
    two = Answer(choices=[Choice(tokens=["a", " b"]), Choice(tokens=["c"])], prompt_tokens=1)
    batches = [json.loads(output) for output in itertools.chain.from_iterable(token_outputs(two, is_stream=True))]
    assert [[choice["tokens"] for choice in batch["choices"]] for batch in batches] == [[["a"], ["c"]], [[" b"], [""]]]
    assert batches[-1]["usage"]["output"] == 3


def test_an_answer_without_tokens_is_one_empty_batch():
    nothing = Answer(choices=[Choice(tokens=[])], prompt_tokens=1)
    (batch,) = itertools.chain.from_iterable(token_outputs(nothing, is_stream=True))
    assert json.loads(batch) == {"choices": [{"tokens": [""]}], "usage": {"input": 1, "output": 0}}


def test_the_worker_of_2023():
    yields = [json.loads(output) for output in itertools.chain.from_iterable(legacy_outputs(ANSWER))]
    assert [entry["input_tokens"] for entry in yields] == [2, 0, 0, 0]
    assert [entry["output_tokens"] for entry in yields] == [1, 2, 3, 4]
    assert "".join(entry["text"][0] for entry in yields) == "Grüße 你好 🌍 ok"
    assert json.loads(legacy_result(ANSWER)) == {"text": ["Grüße 你好 🌍 ok"], "input_tokens": 2, "output_tokens": 4}


def test_plain_text():
    assert [json.loads(output) for output in itertools.chain.from_iterable(text_outputs(ANSWER))] == [
        "Grüße",
        " 你好",
        " 🌍",
        " ok",
    ]
