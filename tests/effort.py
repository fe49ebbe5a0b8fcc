"""How much is tried: a part of the examples by default, all of them where the environment says 1."""

import os

import pytest

EFFORT = float(os.environ.get("FAIRPOD_TEST_EFFORT", "0.3"))
IS_THOROUGH = EFFORT >= 1
"""Whether shares and times are measured for as long as the promised precision needs."""

THOROUGH = pytest.mark.skipif(not IS_THOROUGH, reason="FAIRPOD_TEST_EFFORT=1 runs it")


def tries(count: int, *, at_least: int = 5) -> int:
    """Return the part of this many cases that is tried."""
    return max(min(count, at_least), round(count * EFFORT))
