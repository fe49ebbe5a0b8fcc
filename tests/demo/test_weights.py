"""A model file is either the expected one or none."""

import hashlib

import pytest

from gateway.demo.weights import WeightsError, joined


@pytest.fixture
def parts(tmp_path):
    paths = [tmp_path / name for name in ("one", "two")]
    for path, content in zip(paths, (b"left ", b"right"), strict=True):
        path.write_bytes(content)
    return paths


def test_parts_are_joined_in_order_and_leave_nothing_behind(parts):
    with joined(parts, sha256=hashlib.sha256(b"left right").hexdigest()) as path:
        assert path.read_bytes() == b"left right"
        assert path.stat().st_nlink == 0


def test_a_wrong_digest_is_refused(parts):
    with pytest.raises(WeightsError, match="SHA-256"), joined(parts):
        pytest.fail("a file that is not the model was handed out")


def test_a_missing_part_is_refused(parts, tmp_path):
    with pytest.raises(WeightsError, match="could not be written"), joined([*parts, tmp_path / "three"]):
        pytest.fail("half a file was handed out")
