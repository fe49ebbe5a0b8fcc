"""What a round of chaos consists of, and how one is run."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import openai

from tests.chaos.homes import COLD_START_TIMEOUT_S, EXECUTION_TIMEOUT_S
from tests.chaos.proxy import CALM, Kind
from tests.chaos.questions import SECRETS, TENANT_KEYS, Habits, Question, questions
from tests.chaos.raw_client import ask_raw
from tests.chaos.sdk_client import Clients, ask_sdk
from tests.chaos.verdicts import Ending, Verdict
from tests.chaos.world import DEADLINE_S, Job, World

CLIENTS = 200
SEEDS = range(int(os.environ.get("FAIRPOD_CHAOS_ROUNDS", "1")))
"""Every round is played once for each, with other questions and other troubles."""
TTL_S_MAX = COLD_START_TIMEOUT_S + EXECUTION_TIMEOUT_S + 61.0
WAVE_S = 0.4

Faults = Mapping[str, Any]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """So many clients, in one wave for each of the emulator's moods; the waves overlap."""

    waves: tuple[Faults, ...] = ({},)
    habits: Habits = Habits()
    back: Mapping[Kind, float] = CALM
    """Troubles between the gateway and Runpod."""
    front: Mapping[Kind, float] = CALM
    """Troubles between the clients and the gateway."""
    endings: tuple[Ending, ...] = (Ending.WHOLE, Ending.LEFT)
    """All that may happen, and each of them must."""
    are_characters_cut: bool = False
    clients: int = CLIENTS
    patience_s: float | None = None
    """After this long the clients give up of themselves; without it, they must have an answer by the deadline."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a round."""

    endings: Counter[Ending]
    met: set[Kind]
    """The troubles that struck, on either side of the gateway."""
    lost_jobs: list[Job]
    """Those that run on, because the gateway was never told their id."""


async def play(world: World, planned: Round, seed: str) -> Outcome:
    """Play a round to its end, and check that nothing is held and nothing got out after it.

    Raises:
        AssertionError: A client waited for ever or was deceived, something is held for good, or something got out.
    """
    world.front.brew(planned.front, f"{seed} front")
    world.back.brew(planned.back, f"{seed} back")
    failed_before = await world.submissions_failed()
    async with contextlib.AsyncExitStack() as stack:
        clients: Clients = {
            tenant: await stack.enter_async_context(
                openai.AsyncOpenAI(base_url=f"{world.front.url}/v1", api_key=key, max_retries=0, timeout=DEADLINE_S + 5)
            )
            for tenant, key in TENANT_KEYS.items()
        }
        verdicts = await _ask_in_waves(world, planned, clients, questions(planned.clients, planned.habits, seed))
    met = {*world.front.met, *world.back.met}
    lost_jobs = await world.settle(failed_before)
    await _check_secrets(world, verdicts)
    return Outcome(endings=Counter(verdict.ending for verdict in verdicts), met=met, lost_jobs=lost_jobs)


def check(outcome: Outcome, planned: Round) -> None:
    """All that could happen has happened, and nothing else; and what is left behind will end."""
    assert outcome.endings.keys() == set(planned.endings)
    assert outcome.met >= {*planned.front, *planned.back} - {Kind.PASS}
    for job in outcome.lost_jobs:
        assert job["expires_s"] - job["submitted_s"] <= TTL_S_MAX


async def _ask_in_waves(world: World, planned: Round, clients: Clients, asked: list[Question]) -> list[Verdict]:
    tasks: list[asyncio.Task[Verdict]] = []
    size = -(-len(asked) // len(planned.waves))
    try:
        async with asyncio.TaskGroup() as group:
            for number, faults in enumerate(planned.waves):
                await world.set_faults(**faults)
                wave = asked[number * size : (number + 1) * size]
                tasks += [group.create_task(_ask(world, planned, clients, question)) for question in wave]
                await asyncio.sleep(WAVE_S)
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    return [task.result() for task in tasks]


async def _ask(world: World, planned: Round, clients: Clients, question: Question) -> Verdict:
    try:
        async with asyncio.timeout(planned.patience_s or DEADLINE_S):
            if question.uses_sdk:
                return await ask_sdk(clients, question, are_characters_cut=planned.are_characters_cut)
            return await ask_raw(world.front.url, question, are_characters_cut=planned.are_characters_cut)
    except TimeoutError:
        if planned.patience_s is not None:
            return Verdict(question=question, ending=Ending.BROKEN)
        raise AssertionError(f"no end of {question}") from None


async def _check_secrets(world: World, verdicts: list[Verdict]) -> None:
    SECRETS.check("the log", world.home.read_log())
    SECRETS.check("/metrics", await world.metrics())
    for verdict in verdicts:
        SECRETS.check("an answer", verdict.answer, is_answer=True)
        SECRETS.check("what came with an answer", verdict.around)
