"""The bare machine and both drivers do the same with a script: the same bytes, calls and events, and all given back."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UnreachableError
from tests.effort import tries
from tests.exchange.drivers import DRIVERS, Script, play
from tests.machines import LOST, Reply

REFUSED = UnreachableError("ConnectError", was_sent=False)
BUSY: Reply = (429, [b'{"error":"too many requests"}'])
OUTAGE: Reply = (502, [b"<html>Bad gateway</html>"])
FAILED: Reply = (200, [b'{"status":"FAILED","error":"boom"}'])
NONSENSE: Reply = (200, [b"data: {]\n\n", b"{]"])
EMPTY: Reply = (200, [])


def agree(script: Script) -> None:
    expected = play(script, "machine")
    for driver in DRIVERS[1:]:
        played = play(script, driver)
        if any(kind in {"left", "process"} for kind in script.happens.values()):
            # A task that waits for its client loses what it waits with.
            assert played.sent in expected.sent or expected.sent.startswith(played.sent)
            played.sent = expected.sent
        assert played == expected, driver


@pytest.mark.parametrize("route", ["job", "openai"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("slice_bytes", [1_000_000, 7])
def test_they_answer_alike(route: str, stream: bool, slice_bytes: int) -> None:
    script = Script(route=route, stream=stream, slice_bytes=slice_bytes)
    assert b"Hello" in play(script, "machine").sent
    agree(script)


@pytest.mark.parametrize("route", ["job", "openai"])
@pytest.mark.parametrize("kind", ["left", "process", "lost", "slow", 1000.0])
def test_what_happens_at_any_step_ends_alike(route: str, kind: Any) -> None:
    for step in range(1, 30):
        agree(Script(route=route, stream=True, happens={step: kind}))


happenings = st.dictionaries(
    st.integers(1, 40),
    st.sampled_from(["left", "process", "lost", "slow", 0.5, 30.0, 400.0]),
    max_size=3,
)
replies = st.lists(st.sampled_from([LOST, REFUSED, BUSY, OUTAGE, FAILED, NONSENSE, EMPTY]), max_size=3)
scripts = st.builds(
    Script,
    route=st.sampled_from(["job", "openai"]),
    stream=st.booleans(),
    planned=st.fixed_dictionaries({}, optional=dict.fromkeys(("run", "stream", "status", "openai"), replies)),
    slice_bytes=st.sampled_from([1_000_000, 40, 150]),
    happens=happenings,
)


@settings(max_examples=tries(400), deadline=None)
@given(scripts)
def test_they_do_the_same_with_any_script(script: Script) -> None:
    agree(script)
