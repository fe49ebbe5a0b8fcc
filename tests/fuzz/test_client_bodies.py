"""Whatever JSON a client sends, through every route and dialect: an answer, or a 4xx that names what is wrong."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.asgi import AsgiCall
from tests.fuzz.cases import CASES, TIMEOUT, fuzzed
from tests.fuzz.replies import ODD, RECORDED, changed, encode, good_replies
from tests.fuzz.requests import ASKED, CHAT
from tests.fuzz.test_upstream_replies import Worlds, check_call, served, worlds
from tests.fuzz.world import ROUTES

__all__ = ["worlds"]
TEXT = {"model": "m", "prompt": "Hi", "stream": True, "n": 1, "max_tokens": 5, "logprobs": None, "best_of": 1}
EMBEDDED = {"model": "m", "input": ["a", [1, 2]], "encoding_format": "base64", "dimensions": 5}
GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("chat", CHAT, ASKED),
    ("chat", CHAT, {**ASKED, "stream": False, "tools": [], "response_format": {"type": "text"}}),
    ("text", "/v1/completions", TEXT),
    ("embeddings", "/v1/embeddings", EMBEDDED),
]


@st.composite
def askings(draw: st.DrawFn) -> tuple[str, AsgiCall, dict[str, Any]]:
    """A model, and a request to it in which one to three things are odd."""
    model = draw(st.sampled_from(list(ROUTES)))
    kind, path, asked = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        asked = changed(draw, asked, ODD)
    if isinstance(asked, dict) and draw(st.integers(0, 9)):
        asked = {**asked, "model": model}
    return kind, AsgiCall(path, encode(asked)), asked


@TIMEOUT
@fuzzed(CASES)
@given(askings())
def test_every_body_is_served_or_refused(worlds: Worlds, asking: tuple[str, AsgiCall, dict[str, Any]]) -> None:
    kind, call, asked = asking
    model = asked.get("model") if isinstance(asked, dict) else None
    dialect = ROUTES.get(model, ("", "openai"))[1] if isinstance(model, str) else "openai"
    recording = next(each for each in RECORDED if each.dialect_name == dialect and each.asked["stream"])
    script = good_replies(recording, recording.outputs, per_page=2, streams=True)
    with served(worlds, call, script):
        check_call(call, {"stream": call.body.startswith(b"data: ")}, model=str(model), kind=kind)
