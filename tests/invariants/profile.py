"""The settings of every property here: the same examples in every run, so that CI says the same twice."""

import os

from hypothesis import HealthCheck, Phase, settings

from tests.effort import tries

HUNT = "INVARIANTS_HUNT"
"""Set by the mutation run: the first failure is enough there, nobody reads the smallest example."""


def steady(examples: int, steps: int = 50) -> settings:
    """So many examples, of so many steps where they have steps."""
    every = (Phase.explicit, Phase.generate, Phase.shrink)
    return settings(
        max_examples=tries(examples),
        stateful_step_count=steps,
        derandomize=True,
        deadline=None,
        database=None,
        phases=every[:2] if os.environ.get(HUNT) else every,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
