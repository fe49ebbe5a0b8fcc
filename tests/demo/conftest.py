"""The model is loaded once for all tests of this folder."""

import signal

import pytest

from gateway.demo.model import Model
from gateway.demo.weights import model_file
from gateway.demo.worker import Worker


@pytest.fixture(scope="session")
def model():
    with model_file() as path:
        model = Model.load(path)
    yield model
    model.close()


@pytest.fixture
def worker(model):
    return Worker(model)


@pytest.fixture
def default_hangup():
    """Whoever runs the tests under nohup has SIGHUP ignored, and the demo would respect that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
