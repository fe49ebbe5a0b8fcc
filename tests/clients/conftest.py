"""One stack for each way, shared by all tests of a process; and clients that phone nobody else."""

import contextlib
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator

import openai
import pytest
import structlog

from tests.clients.ways import Way
from tests.stacks import KEY, Stack
from tests.suite_secrets import SUITE

os.environ |= {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "LANGCHAIN_TRACING": "false"}
for _name in [
    name for name in os.environ if name.startswith(("OPENAI_", "ANTHROPIC_", "LANGSMITH_API", "LANGCHAIN_API"))
]:
    del os.environ[_name]


@pytest.fixture(scope="session", autouse=True)
def _quiet_log() -> Iterator[io.StringIO]:
    """The gateways of these tests run in threads, and would write between the lines of pytest."""
    stream = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(stream))
    yield stream
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _no_secret_is_logged(_quiet_log: io.StringIO) -> Iterator[None]:
    begin = len(_quiet_log.getvalue())
    yield
    SUITE.check("the log", _quiet_log.getvalue()[begin:])


StackOf = Callable[[Way], Stack]


@pytest.fixture(scope="session")
def stack_of() -> Iterator[StackOf]:
    """Gives the stack of a way; it is started for the first who asks. No faults and no limits of tenants here."""
    started: dict[Way, Stack] = {}
    with contextlib.ExitStack() as stacks:

        def get(way: Way) -> Stack:
            if way not in started:
                started[way] = stacks.enter_context(way.stack())
            return started[way]

        yield get


ClientOf = Callable[[Way], openai.OpenAI]


@pytest.fixture(scope="session")
def client_of(stack_of: StackOf) -> Iterator[ClientOf]:
    """Gives OpenAI's client at the end of a way. It never tries a second time."""
    made: dict[Way, openai.OpenAI] = {}
    with contextlib.ExitStack() as clients:

        def get(way: Way) -> openai.OpenAI:
            if way not in made:
                client = openai.OpenAI(base_url=stack_of(way).base_url, api_key=KEY, max_retries=0, timeout=20)
                made[way] = clients.enter_context(client)
            return made[way]

        yield get


@pytest.fixture
def client(client_of: ClientOf, way: Way) -> openai.OpenAI:
    """OpenAI's client at the end of the way that the test is given."""
    return client_of(way)


@pytest.fixture
async def async_client(stack_of: StackOf, way: Way) -> AsyncIterator[openai.AsyncOpenAI]:
    """The same for asyncio."""
    async with openai.AsyncOpenAI(base_url=stack_of(way).base_url, api_key=KEY, max_retries=0, timeout=20) as made:
        yield made
