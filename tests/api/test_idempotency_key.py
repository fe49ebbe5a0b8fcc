from typing import Any

import pytest

from gateway.api.idempotency_key import name_of, repeatable_of
from gateway.errors import InvalidRequestError


def scope(*headers: tuple[bytes, bytes], **path_params: str) -> Any:
    return {"headers": list(headers), "path_params": path_params}


def named(key: bytes = b"k", *, repeater: str = "a", path: str = "/v1/completions", **path_params: str) -> Any:
    return name_of(scope((b"idempotency-key", key), **path_params), path, repeater=repeater)


def test_a_request_without_a_key_is_not_repeated() -> None:
    assert name_of(scope((b"x-key", b"k")), "/v1/completions", repeater="a") is None


def test_repeater_path_and_key_name_it_and_the_body_is_its_fingerprint() -> None:
    first, same, other = (repeatable_of(named(), body) for body in (b"1", b"1", b"2"))
    assert first == same
    assert (first.name, first.fingerprint == other.fingerprint) == (other.name, False)


def test_what_differs_has_another_name() -> None:
    others = [named(b"l"), named(repeater="b"), named(path="/v1/embeddings"), named(endpoint_id="ep1")]
    assert len({named(), *others}) == 5


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, b"\xff"])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="255"):
        repeatable_of(named(key), b"")


def test_its_name_is_known_before_its_body() -> None:
    assert repeatable_of(named(), b"1").name == named()
