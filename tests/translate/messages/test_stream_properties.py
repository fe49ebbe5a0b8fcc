"""Whatever a worker says, in whatever slices: the events fold to the message that a whole answer would be."""

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.translate.completion import CompletionFold
from gateway.translate.messages.message import finish_message
from gateway.translate.messages.stream import MessageWriter
from gateway.translate.usage import read_usage
from tests.effort import tries
from tests.factories import fields_of
from tests.translate.messages.shapes import USAGE, call, chunk, message_of, request, usage_chunk, written
from tests.translate.test_chunk_template import RUNS, event, said
from tests.translate.test_chunk_template import written as written_by

TOOLS = [{"name": name, "input_schema": {}} for name in ("f", "g")]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
INPUTS = st.dictionaries(
    st.text('ab{}"\\', min_size=1, max_size=3),
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS | st.lists(st.integers(0, 9), max_size=2),
    min_size=1,
    max_size=3,
)


def cut(text: str, cuts: list[int]) -> list[str]:
    at = sorted({0, len(text), *(each % (len(text) + 1) for each in cuts)})
    return [text[begin:end] for begin, end in itertools.pairwise(at)]


@st.composite
def spoken(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Thoughts, texts and calls in slices, one after the other or in turns; then the end, and perhaps the usage."""
    cuts = st.lists(st.integers(0, 60), max_size=6)
    thoughts, texts = draw(st.lists(TEXTS, max_size=3)), draw(st.lists(TEXTS, max_size=3))
    lanes = [[*[chunk(reasoning=text) for text in thoughts], *[chunk(content=text) for text in texts]]]
    inputs = draw(st.lists(INPUTS | st.just({}), max_size=3))
    if not (thoughts or texts or inputs):
        lanes.append([chunk(content="Hello")])
    for number, value in enumerate(inputs):
        pieces = (
            cut(json.dumps(value, ensure_ascii=False), draw(cuts)) if value else draw(st.sampled_from([[], ["{}"]]))
        )
        head = call(number, id=f"c{number}", name=draw(st.sampled_from("fg")))
        lanes.append([head, *[call(number, piece) for piece in pieces]])
    order = [number for number, lane in enumerate(lanes) for _ in lane]
    if draw(st.booleans()):
        order = draw(st.permutations(order))
    chunks = [chunk(role="assistant", content=""), *[lanes[number].pop(0) for number in order]]
    ending = draw(st.sampled_from(["stop", "length", "tool_calls"] if inputs else ["stop", "length", "content_filter"]))
    return [*chunks, chunk(ending), *draw(st.sampled_from([[], [usage_chunk()]]))]


def gist(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what a whole answer cannot tell: at which place of the text a tool was called."""
    content = message["content"]
    texts = {name: "".join(each[name] for each in content if each["type"] == name) for name in ("text", "thinking")}
    calls = sorted((each for each in content if each["type"] == "tool_use"), key=lambda each: each["id"])
    return {**message, "content": [texts, calls]}


@settings(max_examples=tries(500), deadline=None, derandomize=True)
@given(chunks=spoken())
def test_a_stream_tells_what_a_whole_answer_tells(chunks: list[dict[str, Any]]) -> None:
    asked = request(tools=TOOLS)
    # `message_of` checks that one block is open at a time and that no index is left out.
    streamed = message_of(written(*chunks, asked=asked))
    fold = CompletionFold(asked, answer_id="msg-1")
    for each in chunks:
        fold.add(fields_of(each))
    usage = read_usage(fold.usage)
    if usage is None:
        streamed["usage"] = USAGE
    body = finish_message(
        fold.completion(),
        asked,
        answer_id="msg-1",
        created_s=1,
        usage=usage or read_usage(fields_of({"u": USAGE})["u"]),
    )
    whole = json.loads(body)
    if usage is None:
        whole["usage"] = USAGE
    assert gist(streamed) == gist(whole)
    is_in_order = [each["type"] for each in streamed["content"]] == [each["type"] for each in whole["content"]]
    if is_in_order and gist(streamed)["content"][1] == [each for each in streamed["content"] if "id" in each]:
        assert streamed == whole


@settings(max_examples=tries(300), deadline=None, derandomize=True)
@given(chunks=spoken(), at=st.integers(0, 30))
def test_a_stream_that_breaks_off_never_looks_complete(chunks: list[dict[str, Any]], at: int) -> None:
    writer = MessageWriter(request(tools=TOOLS), answer_id="msg-1", created_s=1)
    data = b"".join(writer.write(fields_of(each)) for each in chunks[:at])
    assert b"message_delta" not in data
    assert b"message_stop" not in data


@settings(max_examples=tries(500), deadline=None, derandomize=True)
@given(runs=RUNS, is_ascii=st.booleans(), spaced=st.booleans())
def test_a_refrain_writes_what_its_chunk_would(runs: list[Any], is_ascii: bool, spaced: bool) -> None:
    values = [kind(text) for kind, texts in [(said, ["first"]), *runs] for text in texts]
    events = b"".join(event(value, spaced=spaced, is_ascii=is_ascii) + b"\n\n" for value in values)
    told = [
        written_by(MessageWriter(request(), answer_id="msg-1", created_s=1), events, plainly=plainly)
        for plainly in (True, False)
    ]
    assert told[0] == told[1]


def test_a_refrain_is_not_parsed_again() -> None:
    """Words of a text cost what they cost OpenAI's clients: their bytes are put between those of the event."""
    words = [event(said(" word"), spaced=False, is_ascii=True) + b"\n\n"] * 50
    writer, written_plainly = MessageWriter(request(), answer_id="msg-1", created_s=1), []
    write = writer.write
    writer.write = lambda fields: written_plainly.append(fields) or write(fields)
    frames, *_ = written_by(writer, b"".join(words), plainly=False)
    assert len(frames) == 51
    assert len(written_plainly) < 6
