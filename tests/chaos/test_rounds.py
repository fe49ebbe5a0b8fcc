"""Hundreds of clients at once, through everything that can go wrong: each gets its answer, or an honest error."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.homes import in_this_process
from tests.chaos.questions import ENDLESS, Habits
from tests.chaos.rounds import SEEDS, Round, check, play
from tests.chaos.table import FAILED, ROUNDS
from tests.chaos.world import World, world

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[World]:
    async with world(in_this_process) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ROUNDS)
async def test_a_round(here: World, name: str, seed: int) -> None:
    check(await play(here, ROUNDS[name], f"{name} {seed}"), ROUNDS[name])


async def test_a_job_that_nobody_was_told_of_is_ended_by_its_ttl(here: World) -> None:
    planned = Round(
        waves=({"lost_replies": 8, "lost_operations": ["run"]},),
        habits=Habits(steering=(ENDLESS,), leaving_part=0, models=("m-job",)),
        endings=(FAILED,),
        clients=8,
    )
    outcome = await play(here, planned, "lost submissions")
    check(outcome, planned)
    assert len(outcome.lost_jobs) == 8
