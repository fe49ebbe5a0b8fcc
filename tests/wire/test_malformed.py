import msgspec
import pytest

from gateway.wire.malformed import MALFORMED


@pytest.mark.parametrize("body", [b"{", b"\xff", b'"\xff"', b"[" * 100_000, b"1 2", b"NaN"])
def test_everything_that_is_no_json_is_caught(body: bytes) -> None:
    with pytest.raises(MALFORMED):
        msgspec.json.decode(body)
