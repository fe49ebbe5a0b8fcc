"""What all tests are held to: no secret in what they print, no server without its mark, no real time without one.

And a Redis for the tests of what replicas share.
"""

import asyncio
import gc
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.redis_server import RedisServer, redis_server
from tests.secrets_scan import LeakError
from tests.server_guard import ServerGuard
from tests.suite_secrets import SUITE
from tests.virtual_time import VirtualTimeLoop


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


GUARD = ServerGuard()

# No example is too slow, since a busy machine makes any of them slow; and every run tries the same ones, so that what
# they cover is the same as well.
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


def pytest_collection_finish() -> None:
    """Keep what was imported out of the collector's sight: it stays, and looking through it again and again is slow."""
    gc.collect()
    gc.freeze()


def needs_server(item: pytest.Item) -> bool:
    return item.get_closest_marker("server") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    GUARD.watch(is_marked=needs_server(item))
    try:
        return (yield)
    finally:
        GUARD.rest()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    if violation := GUARD.violation():
        report.outcome, report.longrepr = "failed", f"ServerError: {violation}"
    # A test that failed already may show in its output what it compared.
    if report.passed:
        try:
            for name, text in report.sections:
                if name.endswith(report.when):
                    SUITE.check(name, text)
        except LeakError as leak:
            report.outcome, report.longrepr = "failed", f"LeakError: {leak}"
    return report


@pytest.hookimpl
def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Real time for tests with servers or threads of their own, virtual time for all others."""
    has_real_time = needs_server(item) or item.get_closest_marker("real_time") is not None
    if has_real_time and item.get_closest_marker("virtual_time") is None:
        return {"real": asyncio.new_event_loop}
    return {"virtual": VirtualTimeLoop}


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    """Give SIGHUP back what it was: a test that serves here leaves it ignored, as later processes would inherit it."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    if signal.getsignal(signal.SIGHUP) is not before:
        signal.signal(signal.SIGHUP, before)
