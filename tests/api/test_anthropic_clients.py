import json
from typing import Any

import pytest

from gateway.api.anthropic_clients import is_anthropic, model_info, model_page


@pytest.mark.parametrize(
    ("headers", "expected"),
    [([], False), ([(b"anthropic-version", b"2023-06-01")], True), ([(b"anthropic-beta", b"x")], False)],
)
def test_its_clients_are_told_by_their_version(headers: list[Any], expected: bool) -> None:
    scope: Any = {"headers": [(b"host", b"x"), *headers]}
    assert is_anthropic(scope) is expected


def test_a_model_has_the_fields_of_anthropics_api() -> None:
    assert model_info("org/m", created_s=1_700_000_000) == {
        "type": "model",
        "id": "org/m",
        "display_name": "org/m",
        "created_at": "2023-11-14T22:13:20Z",
    }


@pytest.mark.parametrize(("names", "first", "last"), [(["a", "b"], "a", "b"), ([], None, None)])
def test_all_models_are_one_page(names: list[str], first: str | None, last: str | None) -> None:
    page = json.loads(model_page(names, created_s=0))
    assert [model["id"] for model in page["data"]] == names
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, first, last)
