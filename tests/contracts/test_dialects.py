"""The laws of every dialect, held against recordings of what workers yield."""

import contextlib
import pathlib
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.errors import InvalidRequestError, OutputLostError, UpstreamError
from gateway.translate.chunks import ChunkWriter
from gateway.translate.completion import CompletionFold, split_completion
from gateway.translate.dialects.contract import Chunk, Damage, Delta, Dialect
from gateway.translate.dialects.openai_object import read_object
from gateway.translate.dialects.openai_stream import OpenAIReader
from gateway.translate.dialects.registry import DIALECTS
from tests.factories import client_request, plain, raw

RECORDINGS = sorted((pathlib.Path(__file__).parent.parent / "recordings").glob("*.jsonl"))
ERROR_OUTPUTS: list[Any] = [
    {"error": {"message": "no", "type": "BadRequestError", "code": 400}},
    {"error": "vLLM returned HTTP 400: {}"},
    [{"error": {"message": "no", "code": 400}}],
    {"detail": "no"},
]


class Recording:
    def __init__(self, path: pathlib.Path) -> None:
        head, *outputs = [msgspec.json.decode(line) for line in path.read_bytes().split(b"\n") if line]
        self.name = path.stem
        self.asked = head["asked"]
        self.dialect_name = head["dialect"]
        self.outputs: list[Any] = outputs

    def dialect(self) -> Dialect:
        return DIALECTS[self.dialect_name](client_request(**self.asked), "org/real")

    def read(self, outputs: list[Any]) -> list[Delta]:
        dialect = self.dialect()
        return [delta for output in outputs for delta in dialect.read(raw(output))] + dialect.end()

    @property
    def is_text(self) -> bool:
        """Whether the outputs are slices of one text."""
        return self.dialect_name == "openai" and all(isinstance(output, str) for output in self.outputs)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "recording" in metafunc.fixturenames:
        recordings = [Recording(path) for path in RECORDINGS]
        metafunc.parametrize("recording", recordings, ids=[recording.name for recording in recordings])


def shown(deltas: list[Delta]) -> list[Any]:
    return [(type(delta).__name__, plain(delta.fields)) for delta in deltas]


def test_there_are_recordings_of_every_dialect() -> None:
    assert {Recording(path).dialect_name for path in RECORDINGS} == set(DIALECTS)


def test_any_slicing_of_the_text_gives_the_same_deltas(recording: Recording) -> None:
    if not recording.is_text:
        # Whole objects: they can be regrouped, but not cut.
        assert shown(recording.read([recording.outputs])) == shown(recording.read(recording.outputs))
        return
    text, expected = "".join(recording.outputs), shown(recording.read(recording.outputs))
    assert expected
    for offset in range(len(text) + 1):
        assert shown(recording.read([text[:offset], text[offset:]])) == expected, offset
    assert shown(recording.read(list(text))) == expected


def test_a_cut_at_every_byte_gives_the_same_deltas(recording: Recording) -> None:
    if not recording.is_text:
        return
    body = "".join(recording.outputs).encode()
    expected = shown(recording.read(recording.outputs))
    for offset in range(len(body) + 1):
        reader = OpenAIReader(stream=recording.asked["stream"])
        deltas = reader.feed(body[:offset]) + reader.feed(body[offset:]) + reader.end()
        assert shown(deltas) == expected, offset


def test_a_text_cut_short_is_noticed(recording: Recording) -> None:
    """Wherever it stops, either every event is whole and the end mark is missing, or reading fails."""
    if not recording.is_text:
        return
    body = "".join(recording.outputs).encode()
    whole = shown(recording.read(recording.outputs))
    for offset in range(1, len(body) - len(b"data: [DONE]\n\n")):
        reader = OpenAIReader(stream=recording.asked["stream"])
        try:
            deltas = reader.feed(body[:offset]) + reader.end()
        except OutputLostError:
            continue
        assert not reader.is_over
        read = shown([delta for delta in deltas if not isinstance(delta, Damage)])
        # What is damaged is the last thing, and only that.
        assert len(deltas) - len(read) in {0, 1}
        assert read == whole[: len(read)]


def test_a_client_reads_one_well_formed_answer(recording: Recording) -> None:
    request = client_request(**{**recording.asked, "stream": True, "stream_options": {"include_usage": True}})
    writer = ChunkWriter(request, answer_id="x", created_s=1)
    frames = b""
    for delta in recording.read(recording.outputs):
        for part in [delta.fields] if isinstance(delta, Chunk) else split_completion(delta.fields):
            frames += writer.write(part)
    chunks = [msgspec.json.decode(frame[6:]) for frame in (frames + writer.end()).split(b"\n\n")[:-2]]
    assert frames.replace(b"\n\n", b"").count(b"\n") == 0, "an event has to stay on one line"
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    roles = [choice["delta"].get("role") for choice in choices]
    assert roles[0] == "assistant"
    assert not any(roles[1:])
    assert [bool(choice["finish_reason"]) for choice in choices] == [False] * (len(choices) - 1) + [True]
    assert [chunk.get("usage") is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_stream_and_whole_tell_the_same(recording: Recording) -> None:
    """The two recordings of one worker were made of the same question."""
    twin = next((path for path in RECORDINGS if path.stem == recording.name.replace("-stream", "-whole")), None)
    if twin is None or twin.stem == recording.name:
        return
    assert text_of(recording) == text_of(Recording(twin)) != ""


def text_of(recording: Recording) -> str:
    fold = CompletionFold(client_request(), answer_id="x")
    for delta in recording.read(recording.outputs):
        if not isinstance(delta, Chunk):
            return str(plain(delta.fields)["choices"][0]["message"]["content"])
        fold.add(delta.fields)
    return str(plain(fold.completion())["choices"][0]["message"]["content"])


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("output", ERROR_OUTPUTS)
def test_an_error_that_arrives_as_output_is_raised(name: str, output: Any) -> None:
    dialect = DIALECTS[name](client_request(stream=True), "org/real")
    with pytest.raises(UpstreamError):
        dialect.read(raw(output))


GOOD_OUTPUTS: dict[str, Any] = {
    "openai": {"choices": [{"index": 0, "delta": {"content": "x"}}]},
    "tokens": {"choices": [{"tokens": ["x"]}]},
    "legacy": {"text": "x"},
}
"""Of the dialects whose workers yield objects."""


@pytest.mark.parametrize("name", GOOD_OUTPUTS)
@pytest.mark.parametrize("blank", [None, "", {}, {"message": "", "code": None}])
def test_an_error_that_says_nothing_is_none(name: str, blank: Any) -> None:
    dialect = DIALECTS[name](client_request(stream=True), "org/real")
    assert dialect.read(raw({**GOOD_OUTPUTS[name], "error": blank}))


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("output", [b"3", b"true", b"[3]", b'{"txet":{}}', b'["\xff"]', b"[" * 100_000])
def test_what_no_worker_of_this_kind_writes_is_an_error(name: str, output: bytes) -> None:
    if name == "openai" and output.startswith((b'{"txet"', b"3", b"true", b"[3")):
        # No part of an answer either, which is what its reader says of the whole.
        DIALECTS[name](client_request(stream=True), "org/real").read(Raw(output))
        return
    dialect = DIALECTS[name](client_request(stream=True), "org/real")
    with pytest.raises(UpstreamError):
        dialect.read(Raw(output))


@pytest.mark.parametrize(
    "body",
    [b'{"choices":[{"delta":{"content":"\xff"}}]}', b'{"choices":[{"text":"\xed\xa0\x80"}]}', b'{"error":"\xff"}'],
)
def test_what_no_client_could_read_is_not_passed_on(body: bytes) -> None:
    for stream in (True, False):
        with pytest.raises(OutputLostError):
            read_object(body, stream=stream)


def test_lists_in_lists_end_in_an_answer_or_an_error_however_deep() -> None:
    for depth in range(400, 600):
        with contextlib.suppress(OutputLostError):
            DIALECTS["openai"](client_request(), "org/real").read(Raw(b"[" * depth + b"{}" + b"]" * depth))


@pytest.mark.parametrize("name", DIALECTS)
def test_the_job_input_is_json_and_carries_the_question(name: str) -> None:
    job_input = b"".join(DIALECTS[name](client_request(max_tokens=9), "org/real").job_input())
    assert b"Hello" in job_input
    assert isinstance(msgspec.json.decode(job_input), dict)
    assert b'"max_tokens":9' in job_input


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("tokens", {"choices": [{"tokens": ["a b c"]}], "usage": {"input": 1, "output": 3}}),
        ("legacy", {"text": ["a b c"], "input_tokens": 1, "output_tokens": 3}),
    ],
)
def test_an_answer_of_the_longest_length_says_that_it_was_cut(name: str, output: Any) -> None:
    for max_tokens, reasons in ((3, ["length"]), (4, [])):
        dialect = DIALECTS[name](client_request(max_tokens=max_tokens), "org/real")
        dialect.read(raw(output))
        ends = [plain(delta.fields)["choices"][0]["finish_reason"] for delta in dialect.end()]
        assert ends == reasons


@pytest.mark.parametrize("name", sorted(set(DIALECTS) - {"openai"}))
def test_a_plain_worker_refuses_what_it_would_ignore(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        DIALECTS[name](client_request(tools=[{"type": "function"}]), "org/real")
