"""The model is loaded once for all tests of this folder."""

import signal
import threading

import anyio
import pytest

from gateway.demo.model import Model
from gateway.demo.weights import model_file
from gateway.demo.worker import Worker

HELD_S_MAX = 50.0


class WatchedEngine:
    """The engine, with what it is at: how many answers it is giving, and how many events it has said."""

    def __init__(self, engine):
        self._engine = engine
        self._lock = threading.Lock()
        self.answering = 0
        self.said = 0
        self.may_go_on = threading.Event()
        """Unset, it holds the engine at what it says next."""
        self.may_go_on.set()

    def handle_chat_completions(self, body, callback, /):
        self._answer(self._engine.handle_chat_completions, body, callback)

    def handle_completions(self, body, callback, /):
        self._answer(self._engine.handle_completions, body, callback)

    def _answer(self, handle, body, callback):
        def counted(event):
            with self._lock:
                self.said += 1
            self.may_go_on.wait(HELD_S_MAX)
            return callback(event)

        with self._lock:
            self.answering += 1
        try:
            handle(body, counted)
        finally:
            with self._lock:
                self.answering -= 1

    async def until(self, condition):
        """Wait until it is so; the bound is for an engine that never gets there."""
        with anyio.fail_after(HELD_S_MAX):
            while not condition(self):
                await anyio.sleep(0.005)

    async def until_idle(self):
        await self.until(lambda engine: engine.answering == 0)


@pytest.fixture(scope="session")
def watched_model():
    with model_file() as path:
        model = Model.load(path)
    model._engine = WatchedEngine(model._engine)
    yield model
    model.close()


@pytest.fixture
def engine(watched_model):
    watched_model._engine.said = 0
    return watched_model._engine


@pytest.fixture
def worker(watched_model):
    return Worker(watched_model)


@pytest.fixture
def default_hangup():
    """Whoever runs the tests under nohup has SIGHUP ignored, and the demo would respect that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
