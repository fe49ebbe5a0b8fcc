import httpx
import pytest

from tests.stacks import KEY, stack

pytestmark = pytest.mark.server


def test_litestars_own_errors_wear_openais_envelope() -> None:
    with stack() as running:
        for method, path, status, code in (
            ("GET", "/nope", 404, "unknown_url"),
            ("PATCH", "/livez", 405, "method_not_allowed"),
            ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ):
            answer = httpx.request(method, running.url + path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
            assert "detail" not in answer.json()
            assert ("allow" in answer.headers) is (status == 405)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_under_v1_asks_for_the_key_first(method: str) -> None:
    with stack() as running:
        url = f"{running.base_url}/conversations"
        assert httpx.request(method, url).status_code == 401
        known = httpx.request(method, url, headers={"authorization": f"Bearer {KEY}"})
        assert known.status_code == 404
        assert known.json()["error"]["code"] == "unknown_url"
