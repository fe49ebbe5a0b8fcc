"""A Redis for the tests of what replicas share, and a look for secrets in whatever any test printed or logged."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.redis_server import RedisServer, redis_server
from tests.secrets_scan import LeakError
from tests.suite_secrets import SUITE


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    # A test that failed already may show in its output what it compared.
    if report.passed:
        try:
            for name, text in report.sections:
                if name.endswith(report.when):
                    SUITE.check(name, text)
        except LeakError as leak:
            report.outcome, report.longrepr = "failed", f"LeakError: {leak}"
    return report
