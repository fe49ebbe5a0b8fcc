import msgspec
import pytest

from gateway.errors import OutputLostError
from gateway.translate.normalized_stream import RESTARTED, NormalizedStream
from gateway.wire.openai import Fields
from tests.factories import client_request, fields_of

FIRST = {"id": "a", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}]}
MORE = [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


class Reader(NormalizedStream):
    """A writer that writes only what it read."""

    def read(self, chunk: Fields) -> object:
        choices = self._read(chunk)
        return None if choices is None else (msgspec.json.decode(choices), self._is_plain)


def reader() -> Reader:
    return Reader(client_request(stream=True), answer_id="x-1")


def test_choices_are_normalized_and_plain_if_nothing_had_to_change() -> None:
    subject = reader()
    assert subject.read(fields_of(FIRST)) == (FIRST["choices"], True)
    said = subject.read(fields_of({"choices": MORE, "usage": USAGE}))
    assert said == (MORE, False)
    assert subject.read(fields_of({"choices": []})) is None
    assert subject.usage is not None
    assert (subject.text_bytes, subject.is_whole) == (3, False)


def test_a_second_run_of_the_job_is_an_error() -> None:
    subject = reader()
    subject.read(fields_of(FIRST))
    subject.read(fields_of({**FIRST, "choices": MORE}))
    with pytest.raises(OutputLostError, match=RESTARTED):
        subject.read(fields_of({**FIRST, "id": "b"}))
