"""A gateway process held to its own description: by requests that fit it, and by requests that do not."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, positive_data_acceptance
from schemathesis.config import SchemathesisConfig

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from tests.fuzz import answers
from tests.fuzz.cases import CASES, TIMEOUT, fuzzed
from tests.processes import serving_process
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, config_of

pytestmark = pytest.mark.server

HEADERS = {"authorization": f"Bearer {KEY}"}
KEYED = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model_id}"),
]
OF_MESSAGES = ["/v1/messages", "/v1/messages/count_tokens"]
OPEN = ["/", "/health", "/livez", "/readyz", "/openapi.json", "/metrics"]
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
EVENTS_MAX = 100_000
"""After so many the client leaves a stream; by default that is before an answer with many choices is over."""
load_all_checks()
# What a worker makes of a request that fits is the worker's: here many are refused for what their messages hold.
EXCLUDED = [positive_data_acceptance]


@pytest.fixture(scope="module")
def gateway_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("surface")
    with serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY))) as emulator_url:
        config = config_of(emulator_url, models=[{"id": "*", "endpoint": "chat"}])
        with serving_process(directory, config) as (_, url):
            yield url
            check_log(directory / "out.log")


def check_log(log: pathlib.Path) -> None:
    """No bug was reported, by the gateway or by its server."""
    text = log.read_text()
    assert "Traceback" not in text
    assert "exchange.broke" not in text
    assert '"outcome": "broken"' not in text


@pytest.fixture(scope="module")
def description(gateway_url: str) -> Any:
    config = SchemathesisConfig.from_dict({"max-stream-events": EVENTS_MAX})
    return schemathesis.openapi.from_url(f"{gateway_url}/openapi.json", config=config)


@TIMEOUT
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), KEYED)
def test_answers_are_as_described(description: Any, method: str, path: str, mode: GenerationMode) -> None:
    @fuzzed(CASES // (2 * len(KEYED)))
    @given(case=description[path][method].as_strategy(generation_mode=mode))
    def hold(case: Any) -> None:
        response = case.call(headers=HEADERS)
        case.validate_response(response, headers=HEADERS, excluded_checks=EXCLUDED)
        if response.headers["content-type"][0].startswith("text/event-stream"):
            answers.check_stream(response.content, model=case.body["model"])
        elif response.status_code >= 400:
            answers.check_envelope(response.status_code, response.headers["content-type"][0], response.content)

    hold()


@TIMEOUT
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", OF_MESSAGES)
def test_answers_to_anthropics_clients_are_as_described(description: Any, path: str, mode: GenerationMode) -> None:
    @fuzzed(CASES // (4 * len(OF_MESSAGES)))
    @given(case=description[path]["POST"].as_strategy(generation_mode=mode))
    def hold(case: Any) -> None:
        response = case.call(headers=HEADERS)
        case.validate_response(response, headers=HEADERS, excluded_checks=EXCLUDED)
        if response.headers["content-type"][0].startswith("text/event-stream"):
            last = response.content.rpartition(b"event: ")[2]
            assert last.startswith((b"message_stop\n", b"error\n"))
        elif response.status_code >= 400:
            assert json.loads(response.content)["request_id"] == response.headers["request-id"][0]

    hold()


@pytest.mark.parametrize("path", OPEN)
def test_what_needs_no_key_is_as_described(description: Any, path: str) -> None:
    for method in description.raw_schema["paths"][path]:
        description[path][method.upper()].Case().call_and_validate()


def test_other_methods_are_refused_in_the_envelope(gateway_url: str, description: Any) -> None:
    with httpx.Client(base_url=gateway_url, headers=HEADERS) as client:
        for path, item in description.raw_schema["paths"].items():
            known = {method.upper() for method in item}
            for method in METHODS - known:
                check_refused(client.request(method, path.format(model_id="m", endpoint_id="e")), known)


def check_refused(answer: httpx.Response, known: set[str]) -> None:
    assert answer.status_code == 405, answer.request
    assert set(answer.headers["allow"].replace(" ", "").split(",")) <= known | {"OPTIONS"}
    answers.check_envelope(answer.status_code, answer.headers["content-type"], answer.content)
