from typing import Any

import pytest

from gateway.api.repeats import name_of, repeatable_of
from gateway.errors import InvalidRequestError


def scope(*headers: tuple[bytes, bytes]) -> Any:
    return {"headers": list(headers)}


def test_a_request_without_a_key_is_not_repeated() -> None:
    assert repeatable_of(scope(), repeater="a", path="/p", body=b"{}") is None


def test_repeater_path_and_key_name_it_and_the_body_is_its_fingerprint() -> None:
    sent = scope((b"idempotency-key", b"k"))
    first, same, other = (repeatable_of(sent, repeater="a", path="/p", body=body) for body in (b"1", b"1", b"2"))
    assert first is not None
    assert other is not None
    assert first == same
    assert (first.name, first.fingerprint == other.fingerprint) == (other.name, False)
    elsewhere = repeatable_of(sent, repeater="b", path="/p", body=b"1")
    assert elsewhere is not None
    assert elsewhere.name != first.name


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, b"\xff"])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="255"):
        repeatable_of(scope((b"idempotency-key", key)), repeater="a", path="/p", body=b"")


def test_its_name_is_known_before_its_body() -> None:
    sent = scope((b"idempotency-key", b"k"))
    repeatable = repeatable_of(sent, repeater="a", path="/p", body=b"1")
    assert repeatable is not None
    assert name_of(sent, repeater="a", path="/p") == repeatable.name
    assert name_of(scope(), repeater="a", path="/p") is None
    assert name_of(scope((b"idempotency-key", b"a b")), repeater="a", path="/p") is None
