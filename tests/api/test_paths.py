from typing import Any

from gateway.api.paths import MODEL_PATHS, endpoint_of, paths_of


def test_every_format_has_three_paths() -> None:
    assert paths_of("/v1/completions") == [
        "/v1/completions",
        "/completions",
        "/v2/{endpoint_id:str}/openai/v1/completions",
    ]
    assert len(MODEL_PATHS) == 3


def test_messages_have_the_paths_of_other_base_urls_too() -> None:
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        assert paths_of(path)[3:] == [f"/anthropic{path}", f"/v1{path}"]


def test_the_endpoint_is_the_one_of_the_path() -> None:
    scope: Any = {"path_params": {"endpoint_id": "abc", "model_id": "m"}}
    assert endpoint_of(scope) == "abc"
    scope = {"path_params": {}}
    assert endpoint_of(scope) is None
