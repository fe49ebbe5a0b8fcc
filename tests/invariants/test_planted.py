"""The planted mistakes of `python -m tests.invariants.mutations` can be planted, and their tests exist."""

import pathlib

import pytest

from tests.invariants.planted import INVARIANTS, PLANTED, Planted

HERE = pathlib.Path(__file__).parent
GATEWAY = HERE.parent.parent / "gateway"


@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: each.what)
def test_its_text_stands_in_the_code_once(planted: Planted) -> None:
    assert (GATEWAY / planted.file).read_text().count(planted.old) == 1


def test_all_tests_of_the_invariants_exist() -> None:
    missing = [test for _, tests in INVARIANTS.values() for test in tests if not (HERE / test).exists()]
    assert missing == []
