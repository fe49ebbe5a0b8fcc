"""How much is tried: all of it, or a part where the environment says so, as `make quick` does."""

import os

EFFORT = float(os.environ.get("FAIRPOD_TEST_EFFORT", "1"))


def tries(count: int, *, at_least: int = 5) -> int:
    """Return the part of this many cases that is tried."""
    return max(min(count, at_least), round(count * EFFORT))
