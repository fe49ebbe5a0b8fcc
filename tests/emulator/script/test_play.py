import itertools
import json

import pytest

from gateway.emulator.faults import PRESTART_ENDS, FailWith, FaultPlan, Faults
from gateway.emulator.script.play import play
from gateway.emulator.settings import Dialect, EmulatorSettings
from tests.emulator.support import chat, content, from_repr, read_events

RAW = {"messages": [{"role": "user", "content": "count to 300"}], "stream": True}


def played(job_input: dict, *, faults: Faults | None = None, **settings):
    plan = FaultPlan(faults or Faults())
    return play(json.dumps(job_input).encode(), "job-1", EmulatorSettings(**settings), plan=plan, unix_s=5.0)


def outputs(chosen):
    return [json.loads(output) for output in itertools.chain.from_iterable(chosen.steps)]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_dialect_answers_a_chat_with_the_same_words(dialect):
    chosen = played(chat("count to 3")["input"], dialect=dialect)
    yields = outputs(chosen)
    texts = {
        Dialect.VLLM: lambda: content(read_events("".join(yields))),
        Dialect.VLLM_BATCHED: lambda: content(read_events("".join(yields))),
        Dialect.VLLM_DICTS: lambda: content(list(itertools.chain.from_iterable(yields))),
        Dialect.SGLANG: lambda: content(read_events("".join(yields))),
        Dialect.TOKENS: lambda: "".join(entry["choices"][0]["tokens"][0] for entry in yields),
        Dialect.LEGACY: lambda: "".join(entry["text"][0] for entry in yields),
        Dialect.TEXT: lambda: "".join(yields),
    }
    assert texts[dialect]() == "1 2 3"
    assert chosen.error == ""


@pytest.mark.parametrize("dialect", [Dialect.VLLM, Dialect.VLLM_BATCHED, Dialect.VLLM_DICTS])
def test_a_whole_answer_is_one_output_after_the_time_its_tokens_take(dialect):
    chosen = played(chat("count to 3", stream=False)["input"], dialect=dialect, token_interval_s=0.1)
    steps = list(chosen.steps)
    assert [len(step) for step in steps] == [0, 0, 0, 1]
    assert json.loads(steps[-1][0])["choices"][0]["message"]["content"] == "1 2 3"


def test_usage_only_when_the_stream_asks_for_it():
    def usage(**fields):
        events = read_events("".join(outputs(played(chat("hi", **fields)["input"]))))
        return [event["usage"] for event in events if event != "[DONE]" and "usage" in event]

    assert usage() == []
    assert usage(stream_options={"include_usage": True}) == [
        {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    ]


@pytest.mark.parametrize(("dialect", "tokens"), [(Dialect.TOKENS, 100), (Dialect.LEGACY, 256)])
def test_raw_answers_are_cut_off_at_the_workers_default(dialect, tokens):
    last = outputs(played(RAW, dialect=dialect))[-1]
    assert (last["usage"]["output"] if dialect is Dialect.TOKENS else last["output_tokens"]) == tokens


def test_worker_vllm_translates_raw_inputs():
    events = read_events("".join(outputs(played(RAW | {"sampling_params": {"max_tokens": 2}}))))
    assert content(events) == "1 2"


def test_legacy_and_text_results_are_no_lists():
    legacy = played(RAW | {"stream": False}, dialect=Dialect.LEGACY)
    assert legacy.has_metrics
    assert json.loads(legacy.result)["output_tokens"] == 256
    text = played(RAW | {"stream": False, "sampling_params": {"max_tokens": 2}}, dialect=Dialect.TEXT)
    assert outputs(text) == []
    assert json.loads(text.result) == "1 2"


@pytest.mark.parametrize(
    ("fields", "settings", "interval_s"),
    [
        ({"text": "hi"}, {}, 0.0),
        ({"text": "hi"}, {"token_interval_s": 0.1}, 0.1),
        ({"text": "slowly hi"}, {"token_interval_s": 0.1, "slow_token_interval_s": 0.3}, 0.3),
        ({"text": "slowly #interval=0.7"}, {}, 0.7),
        ({"text": "hi", "model": "m#interval=0.2"}, {}, 0.2),
    ],
)
def test_the_pace(fields, settings, interval_s):
    assert played(chat(**fields)["input"], **settings).interval_s == interval_s


def test_a_model_that_is_not_served_fails_the_job_as_worker_vllm_does():
    chosen = played(chat(model="other")["input"], models=("served",))
    assert outputs(chosen) == []
    assert "vLLM returned HTTP 404" in from_repr(chosen.error)["message"]
    assert "The model `other` does not exist." in chosen.error


@pytest.mark.parametrize("dialect", [Dialect.VLLM_BATCHED, Dialect.VLLM_DICTS, Dialect.TOKENS])
def test_older_workers_yield_the_error(dialect):
    chosen = played(chat(model="other")["input"], models=("served",), dialect=dialect)
    assert from_repr(chosen.error)["code"] == 404


def test_sglang_completes_with_the_error():
    chosen = played(chat(model="other")["input"], models=("served",), dialect=Dialect.SGLANG)
    assert (outputs(chosen)[0]["code"], chosen.error) == (404, "")


def test_an_input_of_no_known_shape_fails_the_job():
    assert "Job input must contain one of" in played({"image": 1}).error
    assert "HTTP 400" in played({"openai_route": "/v1/chat/completions", "openai_input": {"messages": 1}}).error


def test_embeddings_and_models_are_answered_whole():
    (vectors,) = outputs(played({"openai_route": "/v1/embeddings", "openai_input": {"input": "x"}}))
    assert len(vectors["data"][0]["embedding"]) == 16
    (models,) = outputs(played({"openai_route": "/v1/models"}, models=("a",)))
    assert models["data"][0]["id"] == "a"


@pytest.mark.parametrize("kind", [kind for kind in FailWith if kind is not FailWith.NOTHING])
def test_each_failure_by_fault_and_by_message(kind):
    by_fault = played(chat()["input"], faults=Faults(fail_with=kind, fail_after_outputs=1), slices="events")
    by_word = played(chat(f"#fail={kind} #fail-after=1")["input"], slices="events")
    for chosen in (by_fault, by_word):
        yields = outputs(chosen)
        if kind is FailWith.NO_OUTPUT:
            assert chosen.is_mute
        elif kind in {FailWith.ERROR_EVENT, FailWith.FLAT_ERROR}:
            assert (len(yields), chosen.error) == (2, "")
        else:
            assert len(yields) == (0 if kind in PRESTART_ENDS else 1)
            assert chosen.error
        assert chosen.ends_prestart is (kind in PRESTART_ENDS)


@pytest.mark.parametrize("kind", ["generator_logs", "handler_logs"])
def test_what_a_worker_sends_of_its_output_holds_the_prompt(kind):
    assert f"received my secret #fail={kind}" in played(chat(f"my secret #fail={kind}")["input"]).error


def test_the_status_of_a_failure():
    assert "HTTP 429" in played(chat("#fail=vllm_http #fail-status=429")["input"]).error


def test_a_failure_that_is_none_is_ignored():
    assert played(chat("#fail=nonsense")["input"]).error == ""


def test_deaths_are_asked_for_in_the_message():
    assert played(chat("#deaths=2")["input"]).deaths == 2
    assert played(chat()["input"]).deaths is None


def test_slices_by_fault():
    pieces = outputs(played(chat()["input"], faults=Faults(slice_bytes=1), slices="events"))
    assert {len(piece) for piece in pieces} == {1}
    pieces = outputs(played(chat("é" * 50)["input"], faults=Faults(slice_bytes=1, cut_characters=True)))
    assert "\ufffd" in "".join(pieces)
