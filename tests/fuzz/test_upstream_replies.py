"""Whatever Runpod and its workers reply, a client gets an answer or our own error, soon, and nothing is kept."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.asgi import AsgiCall
from tests.fuzz import answers
from tests.fuzz.cases import CASES, TIMEOUT, fuzzed
from tests.fuzz.replies import RECORDED, Reply, scripts
from tests.fuzz.world import CASE_S_MAX, ROUTES, World

CPU_S_MAX = 30.0
"""For one case, 1 MB pages included, on a busy machine: one that is read again and again takes longer than that."""
CALLS_MAX = 10_000
COUNT_MAX = 10**10
"""Of tokens and seconds: what a worker makes up must not end in anybody's account."""
PROMPT = "a prompt that nobody may read"
MODELS = [*ROUTES, "several", "openai", "relay"]
USES = {"relay": ["openai"], "auto": ["openai", "run", "stream", "status", "cancel", "health"]}
USES["several"] = USES["auto"][:-1]
OF_JOBS = ["run", "stream", "stream", "stream", "status", "cancel"]


class Worlds:
    """The world of this test; a new one after a failure, so that the same case fails again by itself."""

    def __init__(self) -> None:
        self._world: World | None = None

    def get(self) -> World:
        if self._world is None:
            self._world = World()
        return self._world

    def end(self) -> None:
        if self._world is not None:
            world, self._world = self._world, None
            world.close()


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = Worlds()
    yield made
    made.end()


@st.composite
def stories(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[str, list[Reply]]]:
    """A model, what is asked of it, and how Runpod replies."""
    model = draw(st.sampled_from(MODELS))
    dialect = ROUTES.get(model, ("", "openai"))[1]
    recording = draw(st.sampled_from([each for each in RECORDED if each.dialect_name == dialect]))
    stream = recording.asked["stream"] if draw(st.integers(0, 4)) else not recording.asked["stream"]
    asked: dict[str, Any] = {"model": model, "stream": stream}
    if draw(st.integers(0, 9)) == 0:
        asked["n"] = 2
    if stream and draw(st.booleans()):
        asked["stream_options"] = {"include_usage": True, "continuous_usage_stats": draw(st.booleans())}
    return model, asked, draw(scripts(recording, uses=USES.get(model, OF_JOBS)))


@TIMEOUT
@fuzzed(CASES)
@given(stories(), st.sampled_from(["chat", "chat", "chat", "text", "embeddings"]))
def test_every_reply_ends_in_an_answer_or_our_own_error(
    worlds: Worlds, story: tuple[str, dict[str, Any], dict[str, list[Reply]]], kind: str
) -> None:
    model, asked, script = story
    paths = {"chat": "/v1/chat/completions", "text": "/v1/completions", "embeddings": "/v1/embeddings"}
    inputs = {"chat": {"messages": [{"role": "user", "content": PROMPT}]}, "text": {"prompt": PROMPT}}
    call = AsgiCall(paths[kind], {**asked, **inputs.get(kind, {"input": PROMPT})})
    with served(worlds, call, script, looks_first=model == "auto"):
        check_call(call, asked, model=model, kind=kind)


@contextlib.contextmanager
def served(
    worlds: Worlds, call: AsgiCall, script: dict[str, list[Reply]], *, looks_first: bool = False
) -> Iterator[None]:
    """The request is served, within every bound; the body of the `with` looks at its answer."""
    world = worlds.get()
    world.runpod.follow(script)
    begun_s = time.thread_time()
    try:
        with structlog.testing.capture_logs() as logs:
            took_s = world.run(world.answer(call, looks_first=looks_first))
        assert took_s <= CASE_S_MAX
        assert time.thread_time() - begun_s < CPU_S_MAX
        assert len(world.runpod.calls) <= CALLS_MAX
        check_logs(logs)
        assert world.subject.held() == {}
        yield
    except BaseException:
        worlds.end()
        raise


def check_logs(logs: list[Any]) -> None:
    """One line for the request, no bug, and nothing of what was asked."""
    assert not [line for line in logs if line["event"] in {"exchange.broke", "observer.broke"}], logs
    assert [line["outcome"] for line in logs if line["event"] == "exchange.settled"] != ["broken"], logs
    assert PROMPT not in repr(logs)
    for line in logs:
        counted = [line.get(name) or 0 for name in ("tokens_in", "tokens_out", "gpu_s", "upstream_delay_s")]
        assert all(0 <= each < COUNT_MAX for each in counted), line


def check_call(call: AsgiCall, asked: dict[str, Any], *, model: str, kind: str) -> None:
    if call.status != 200:
        assert call.is_complete
        answers.check_envelope(call.status, call.headers["content-type"], call.body)
    elif asked["stream"] and kind != "embeddings":
        assert call.is_complete
        assert call.headers["content-type"] == "text/event-stream; charset=utf-8"
        answers.check_stream(call.body, model=model)
    elif not call.is_complete:
        # Begun with a blank line to show life, and then broken off: all that can be done after a 200.
        assert not call.body.strip()
    elif kind == "embeddings":
        answers.check_embeddings(call.body, model=model)
    else:
        answers.check_completion(call.body, model=model, choices=asked.get("n", 1))
