"""Rounds with a gateway process of its own; some last as long as the gateway bears with silence."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.homes import in_its_own
from tests.chaos.rounds import SEEDS, check, play
from tests.chaos.table import LONG_ROUNDS
from tests.chaos.world import World, world
from tests.effort import THOROUGH

pytestmark = [THOROUGH, pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def there(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("chaos")
    # Whole events: then a second telling does not even begin in the middle of a word.
    async with world(lambda url: in_its_own(url, directory), slices="events") as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", LONG_ROUNDS)
async def test_a_round(there: World, name: str, seed: int) -> None:
    check(await play(there, LONG_ROUNDS[name], f"{name} {seed}"), LONG_ROUNDS[name])
