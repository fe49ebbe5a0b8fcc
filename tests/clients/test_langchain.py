"""LangChain's own standard suites: chat models and embeddings over every way, with every feature that a way has."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests, chat_models
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from tests.clients.conftest import StackOf
from tests.clients.local_files import LocalFiles
from tests.clients.ways import JOB_VLLM, OPENAI_VLLM, Way
from tests.stacks import KEY

STATIC_BASE_URL = "http://127.0.0.1:8080/v1"
"""For models that nobody calls."""
OTHER_MODEL = "m-too"

pytestmark = [
    pytest.mark.server,
    # One loop for the module: its connections stay usable from test to test.
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:.*but it is not an async function:pytest.PytestWarning"),
    # The suite measures only what was recorded, and nothing is.
    pytest.mark.filterwarnings(
        "ignore:Benchmark fixture was not used at all:pytest_benchmark.logger.PytestBenchmarkWarning"
    ),
    # LangChain about what the suite asks of it.
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _local_files() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_models, "httpx", LocalFiles())
        patch.setenv("LANGCHAIN_TESTS_USER_AGENT", "fairpod-tests")
        yield


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    """Nothing is recorded or replayed: the gateway answers."""
    return {"ignore_localhost": True}


class Served:
    """A class of tests over one way. One connection pool of each kind serves it; LangChain never closes its own."""

    way: Way
    base_url: str
    http_client: openai.DefaultHttpxClient
    http_async_client: openai.DefaultAsyncHttpxClient

    @pytest_asyncio.fixture(scope="class", loop_scope="module", autouse=True)
    @classmethod
    async def _serve(cls, stack_of: StackOf) -> AsyncIterator[None]:
        cls.base_url = stack_of(cls.way).base_url
        with openai.DefaultHttpxClient() as cls.http_client:
            async with openai.DefaultAsyncHttpxClient() as cls.http_async_client:
                yield

    @property
    def connection(self) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "api_key": KEY,
            "model": "m",
            "max_retries": 0,
            "timeout": 20,
            "http_client": self.http_client,
            "http_async_client": self.http_async_client,
        }


class TextSuite(Served, ChatModelIntegrationTests):
    """The suite for workers that continue text."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**self.connection, "stream_usage": True}

    @property
    def model_override_value(self) -> str:
        return OTHER_MODEL

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


class FullSuite(TextSuite):
    """The suite for workers that speak OpenAI: everything claimed that the suite knows."""

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True


class TestJobVllm(FullSuite):
    way = JOB_VLLM


class TestJobVllmBatched(FullSuite):
    way = Way("job", "vllm-batched")


class TestJobVllmDicts(FullSuite):
    way = Way("job", "vllm-dicts")


class TestJobSglang(FullSuite):
    way = Way("job", "sglang")


class TestOpenaiVllm(FullSuite):
    way = OPENAI_VLLM


class TestResponses(FullSuite):
    """By the Responses API, whose requests become those of the other classes: one way shows what is its own."""

    way = JOB_VLLM

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}


class TestJobTokens(TextSuite):
    way = Way("job", "tokens")


class TestJobLegacy(TextSuite):
    way = Way("job", "legacy")


class TestJobText(TextSuite):
    way = Way("job", "text")


class TestUnit(ChatModelUnitTests):
    """What the suite asks of ChatOpenAI without a server, in the form in which our users make it."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"base_url": STATIC_BASE_URL, "api_key": KEY, "model": "m"}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {name: value for name, value in super().standard_chat_model_params.items() if name != "api_key"}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"OPENAI_API_KEY": KEY, "OPENAI_API_BASE": STATIC_BASE_URL},
            {"model": "m"},
            {"openai_api_key": KEY, "openai_api_base": STATIC_BASE_URL},
        )


class EmbeddingsSuite(Served, EmbeddingsIntegrationTests):
    """The suite for embeddings; without the option, LangChain would fetch a tokenizer."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {**self.connection, "check_embedding_ctx_length": False}


class TestEmbeddingsJobVllm(EmbeddingsSuite):
    way = JOB_VLLM


class TestEmbeddingsJobSglang(EmbeddingsSuite):
    way = Way("job", "sglang")


class TestEmbeddingsOpenaiVllm(EmbeddingsSuite):
    way = OPENAI_VLLM


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    """The same without a server."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": STATIC_BASE_URL, "api_key": KEY, "model": "m"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"OPENAI_API_KEY": KEY, "OPENAI_API_BASE": STATIC_BASE_URL},
            {"model": "m"},
            {"openai_api_key": KEY, "openai_api_base": STATIC_BASE_URL},
        )
