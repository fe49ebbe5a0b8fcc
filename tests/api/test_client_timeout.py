from typing import Any

import pytest

from gateway.api.client_timeout import client_timeout_s


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"x-stainless-read-timeout": "20.5"}, 20.5),
        ({"x-stainless-timeout": "30"}, 30.0),
        ({"x-stainless-timeout": "30", "x-stainless-read-timeout": "12"}, 12.0),
        # What openai-python sends where nobody chose.
        ({"x-stainless-read-timeout": "600"}, None),
        *(({"x-stainless-timeout": text}, None) for text in ("", "soon", "NaN", "-1", "0", "inf", "1e999", "\x00")),
    ],
)
def test_what_a_client_says_of_its_patience(headers: dict[str, str], wait_s: float | None) -> None:
    scope: Any = {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    assert client_timeout_s(scope) == wait_s
