import hashlib

from gateway.config.keys import key_line, new_key


def test_keys_are_long_and_never_the_same() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("fp-") and len(key) > 40 for key in keys)


def test_the_line_holds_the_digest_and_not_the_key() -> None:
    assert key_line("k") == "sha256:" + hashlib.sha256(b"k").hexdigest()
