"""One worker's chunks tell a client the same whether they are streamed or folded."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamError
from gateway.translate.dialects.contract import Chunk
from tests.exchange.test_answer import answer_to
from tests.factories import fields_of
from tests.invariants.profile import steady

TEXTS = st.sampled_from(["Hello ", "world", "ha", "", "\u00e9", "{}", "5"])
NOTHING = st.sampled_from([None, {}, [], ""])
ARGUMENTS = st.sampled_from(["", "{}", '{"a"', ":1}", '{"a":1}', "null", None])
CALLS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.sampled_from([0, 1, "0", None]),
            "id": st.sampled_from(["a", "b", "", None]),
            "function": st.fixed_dictionaries(
                {}, optional={"name": st.sampled_from(["f", "g", ""]), "arguments": ARGUMENTS}
            ),
        },
    ),
    max_size=2,
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": st.one_of(TEXTS, NOTHING, st.just(["Hello ", {"type": "text", "text": "world"}])),
        "reasoning_content": TEXTS,
        "tool_calls": st.one_of(CALLS, NOTHING),
    },
)
CALLED = st.fixed_dictionaries(
    {
        "index": st.sampled_from([0, 1]),
        "id": st.sampled_from(["a", "b", None]),
        "function": st.fixed_dictionaries({"name": st.sampled_from(["f", "g", None]), "arguments": ARGUMENTS}),
    }
)
CHUNKS_OF_CALLS = st.builds(
    lambda calls, reason: {"choices": [{"index": 0, "delta": {"tool_calls": calls}, "finish_reason": reason}]},
    st.lists(CALLED, min_size=1, max_size=2),
    st.sampled_from([None, None, "tool_calls"]),
)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, "0", None, -1]),
        "delta": st.one_of(DELTAS, NOTHING, TEXTS),
        "message": st.one_of(DELTAS, NOTHING),
        "text": TEXTS,
        "finish_reason": st.sampled_from([None, "", "stop", "length", "tool_calls", "eos"]),
    },
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["x", "y", None]),
        "choices": st.one_of(st.lists(CHOICES, min_size=1, max_size=2), NOTHING),
        "usage": st.one_of(NOTHING, st.just({"prompt_tokens": 3, "completion_tokens": 2})),
    },
)
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def told(chunks: list[Any], *, stream: bool) -> bytes | None:
    answer = answer_to(stream=stream)
    try:
        return answer.take([Chunk(fields_of(each)) for each in chunks]) + answer.finish()
    except UpstreamError:
        return None


def joined(stream: bytes) -> dict[int, Any]:
    """What OpenAI's clients make of a stream: for each choice its text, reasoning, calls and reason."""
    choices: dict[int, Any] = {}
    for frame in stream.split(b"\n\n")[:-2]:
        for choice in msgspec.json.decode(frame.removeprefix(b"data: "))["choices"]:
            said = choices.setdefault(choice["index"], {"content": "", "reasoning": "", "calls": {}, "reason": None})
            delta = choice["delta"]
            said["content"] += delta.get("content") or ""
            said["reasoning"] += delta.get("reasoning_content") or ""
            said["reason"] = choice["finish_reason"] or said["reason"]
            for call in delta.get("tool_calls") or ():
                known = said["calls"].setdefault(call["index"], ["", "", ""])
                function = call.get("function") or {}
                known[0] = known[0] or call.get("id", "")
                known[1] = known[1] or function.get("name", "")
                known[2] += function.get("arguments") or ""
    for said in choices.values():
        said["calls"] = [said["calls"][index] for index in sorted(said["calls"])]
    return choices


def read(body: bytes) -> dict[int, Any]:
    """What OpenAI's clients make of a whole answer."""
    choices = {}
    for choice in msgspec.json.decode(body)["choices"]:
        message = choice["message"]
        calls = [[call["id"], *call["function"].values()] for call in message.get("tool_calls") or ()]
        choices[choice["index"]] = {
            "content": message["content"] or "",
            "reasoning": message.get("reasoning_content") or "",
            "calls": calls,
            "reason": choice["finish_reason"],
        }
    return choices


@steady(400)
@given(
    chunks=st.one_of(
        st.lists(CHUNKS, max_size=6),
        st.lists(CHUNKS_OF_CALLS, min_size=1, max_size=5),
        st.lists(st.one_of(CHUNKS, CHUNKS_OF_CALLS), max_size=6),
    ),
    is_stopped=st.booleans(),
)
def test_a_stream_and_a_fold_of_the_same_chunks_agree(chunks: list[Any], is_stopped: bool) -> None:
    chunks = [*chunks, STOP] if is_stopped else chunks
    streamed = told(chunks, stream=True)
    folded = told(chunks, stream=False)
    if folded is None:
        # What a client has is not taken back: a job that begins again is told anew only where it was not sent yet.
        assert streamed is None
    elif streamed is not None:
        assert joined(streamed) == read(folded)
