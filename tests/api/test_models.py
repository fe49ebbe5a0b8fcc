from collections.abc import Iterator

import httpx
import pytest

from gateway.config.keys import key_line
from tests.stacks import KEY, Stack, stack

pytestmark = pytest.mark.server

HEADERS = {"authorization": f"Bearer {KEY}"}
TENANTS = [
    {"name": "acme", "keys": [key_line(KEY)]},
    {"name": "small", "keys": [key_line("small-key")], "models": ["m"]},
]


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack(tenants=TENANTS) as made:
        yield made


def test_the_list_has_every_model_of_the_file(running: Stack) -> None:
    answer = httpx.get(f"{running.base_url}/models", headers=HEADERS).json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == ["m", "org/with-slash"]
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in answer["data"])


@pytest.mark.parametrize("path", ["org/with-slash", "org%2Fwith-slash"])
def test_an_id_may_hold_slashes(running: Stack, path: str) -> None:
    answer = httpx.get(f"{running.base_url}/models/{path}", headers=HEADERS)
    assert answer.json()["id"] == "org/with-slash"


def test_a_tenant_sees_the_models_it_may_use(running: Stack) -> None:
    headers = {"authorization": "Bearer small-key"}
    listed = httpx.get(f"{running.base_url}/models", headers=headers).json()["data"]
    assert [model["id"] for model in listed] == ["m"]
    assert httpx.get(f"{running.base_url}/models/org/with-slash", headers=headers).status_code == 403


def test_an_unknown_model_and_an_unknown_key(running: Stack) -> None:
    unknown = httpx.get(f"{running.base_url}/models/nope", headers=HEADERS)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert httpx.get(f"{running.base_url}/models").status_code == 401
    assert httpx.get(f"{running.base_url}/models/m").status_code == 401


def test_anthropics_clients_get_the_models_in_their_format(running: Stack) -> None:
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    page = httpx.get(f"{running.base_url}/models", headers=headers).json()
    assert [model["id"] for model in page["data"]] == ["m", "org/with-slash"]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "m", "org/with-slash")
    model = httpx.get(f"{running.base_url}/models/org/with-slash", headers=headers).json()
    assert model == page["data"][1]
    missing = httpx.get(f"{running.base_url}/models/nope", headers=headers)
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")


def test_runpod_is_not_asked(running: Stack) -> None:
    assert running.calls() == []
