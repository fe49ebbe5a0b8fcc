"""What a request asks for arrives, however a gateway writes it."""

import json

import pytest

from bench.speed.sizes import Asked, read_asked, request_body

ASKED = Asked(chunks=50, interval_s=0.004, page=8, answer_bytes=2048)


def test_the_upstream_reads_what_was_asked_for() -> None:
    body = request_body(ASKED, model="m", is_stream=True)
    assert read_asked(body) == ASKED
    written_anew = json.dumps({"input": json.loads(body)}, indent=1).encode()
    assert read_asked(written_anew) == ASKED
    assert read_asked(b"{}") == Asked()


@pytest.mark.parametrize("size", [1024, 100 * 1024])
def test_a_body_is_as_large_as_it_should_be(size: int) -> None:
    body = request_body(Asked(), model="m", is_stream=False, prompt_bytes=size)
    assert len(body) == pytest.approx(size, abs=120)
    assert json.loads(body)["stream"] is False
