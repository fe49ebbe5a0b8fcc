"""Answers cross from the engine's thread to the loop, and stop when nobody wants them any more."""

import threading

import anyio
import pytest

from gateway.demo.model import Model
from gateway.demo.request import read

pytestmark = pytest.mark.real_time

OVER_S_MAX = 30.0
CHAT = read({"openai_route": "/v1/chat/completions", "openai_input": {"messages": [{"role": "user", "content": "x"}]}})
TEXT = read({"openai_route": "/v1/completions", "openai_input": {"prompt": "x"}})


class ScriptedEngine:
    """Stands for llama.cpp: says `count` events, or raises."""

    def __init__(self, count, error=None):
        self.count = count
        self.error = error
        self.said = 0
        self.over = threading.Event()

    def handle_chat_completions(self, body, callback, /):
        del body
        try:
            if self.error:
                raise self.error
            while self.said < self.count and not callback(b"%d" % self.said):
                self.said += 1
        finally:
            self.over.set()

    handle_completions = handle_chat_completions


@pytest.mark.parametrize("generate", [CHAT, TEXT])
async def test_every_event_arrives_in_order(generate):
    with Model(ScriptedEngine(1000)).start(generate) as generation:
        events = [event async for batch in generation.events() for event in batch]
    assert events == [b"%d" % number for number in range(1000)]


@pytest.mark.parametrize("error", [ValueError("bad"), TypeError("bad"), RuntimeError("bad")])
async def test_what_the_binding_raises_becomes_an_error_event(error):
    with Model(ScriptedEngine(0, error)).start(CHAT) as generation:
        events = [event async for batch in generation.events() for event in batch]
    assert events == [b'{"error":{"code":400,"message":"bad"}}']


async def test_a_slow_reader_slows_the_engine():
    engine = ScriptedEngine(1_000_000)
    with Model(engine).start(CHAT) as generation:
        async for _ in generation.events():
            break
        await anyio.sleep(0.1)
        assert engine.said < 1000
    assert await anyio.to_thread.run_sync(engine.over.wait, OVER_S_MAX)


async def test_stopping_stops_the_engine_even_while_it_waits():
    engine = ScriptedEngine(1_000_000)
    generation = Model(engine).start(CHAT)
    await anyio.sleep(0.1)
    generation.stop()
    assert await anyio.to_thread.run_sync(engine.over.wait, OVER_S_MAX)


def test_a_loop_that_ends_stops_the_engine():
    engine = ScriptedEngine(1_000_000)

    async def leave():
        Model(engine).start(CHAT)
        await anyio.sleep(0.05)

    anyio.run(leave)
    assert engine.over.wait(OVER_S_MAX)
