"""The lease script and its twin in Python give the same answers, whatever is said to them and in whatever order."""

from collections.abc import Callable, Iterator, Mapping

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.admission.lease_store import Ask, Beat, BeatAnswer, OvertakenError
from tests.models.lease_table import LeaseTable
from tests.redis_server import RedisServer, redis_server
from tests.told_redis import ToldLeases

pytestmark = pytest.mark.server

HOLD_S, LIVE_S, SETTLE_S = 30.0, 1.5, 2.0
CLASSES: Mapping[str, tuple[int, float, float]] = {
    "work": (40, 0.0, 0.0),
    "run": (20, 95.7, 25.0),
    "one": (1, 0.16, 1.0),
}
"""Seats, rate and burst."""
REPLICAS = ("a", "b", "c")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def script(redis: RedisServer) -> Iterator[ToldLeases]:
    made = ToldLeases(redis.url)
    yield made
    made.close()


class Speaker:
    """A replica that believes what it hears, unless the answer is lost."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.incarnation = 0
        self.number = 0
        self.has: dict[str, tuple[int, int]] = {}
        """By class: epoch and limit."""

    def restart(self) -> None:
        self.incarnation += 1
        self.number = 0
        self.has = {}

    def beat(self, said: "Said") -> Beat:
        self.number += 1
        asks = [self._ask(name, *numbers) for name, numbers in said.classes.items()]
        return Beat(
            self.name,
            f"{self.incarnation - said.incarnations_ago:06}",
            max(0, self.number - said.stale),
            said.is_leaving,
            HOLD_S,
            LIVE_S,
            SETTLE_S,
            asks,
        )

    def _ask(self, name: str, held: int, target: int, want: int) -> Ask:
        seats, rate, burst = CLASSES[name]
        epoch, limit = self.has.get(name, (0, 0))
        return Ask(name, seats, rate, burst, epoch, limit, held, target, want)

    def hear(self, beat: Beat, answer: BeatAnswer) -> None:
        for ask, grant in zip(beat.asks, answer.grants, strict=False):
            self.has[ask.name] = grant.epoch, grant.limit


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One heartbeat, and what befalls it."""

    after_us: int
    replica: str
    classes: dict[str, tuple[int, int, int]]
    """What is held, aimed at and wanted of each."""
    is_restarted: bool
    is_wiped: bool
    is_leaving: bool
    is_lost: bool
    stale: int
    """So many heartbeats too late."""
    incarnations_ago: int
    """Said by a process that is gone by now."""


RARELY = st.integers(0, 15).map(lambda drawn: drawn == 15)
AFTER_US = st.one_of(
    st.integers(0, 400_000),
    st.sampled_from([round(each * 1e6) for each in (LIVE_S, SETTLE_S, HOLD_S)]).flatmap(
        lambda limit: st.integers(limit - 1, limit + 1)
    ),
    st.integers(0, 40_000_000),
)
SEATS = st.integers(0, 45)
SAID = st.builds(
    Said,
    after_us=AFTER_US,
    replica=st.sampled_from(REPLICAS),
    classes=st.dictionaries(st.sampled_from(sorted(CLASSES)), st.tuples(SEATS, SEATS, st.integers(0, 60)), min_size=1),
    is_restarted=RARELY,
    is_wiped=RARELY,
    is_leaving=RARELY,
    is_lost=st.integers(0, 4).map(lambda drawn: drawn == 4),
    stale=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2]),
    incarnations_ago=st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1]),
)


def answered(beat: Callable[..., BeatAnswer | None], *said: object) -> BeatAnswer | str | None:
    """Return the answer, or the name of the refusal."""
    try:
        return beat(*said)
    except OvertakenError as error:
        return error.reason


@settings(
    max_examples=250,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=st.lists(SAID, min_size=1, max_size=40))
def test_the_twin_answers_as_the_script_does(script: ToldLeases, story: list[Said]) -> None:
    script.begin()
    table = LeaseTable()
    speakers = {name: Speaker(name) for name in REPLICAS}
    now_us = 1_800_000_000_000_000
    for number, said in enumerate(story):
        now_us += said.after_us
        speaker = speakers[said.replica]
        if said.is_wiped:
            script.wipe()
            table.wipe()
        if said.is_restarted:
            speaker.restart()
        beat, report = speaker.beat(said), str(number).encode()
        expected = answered(script.beat, beat, report, now_us)
        seconds = now_us // 1_000_000 + (now_us % 1_000_000) / 1_000_000
        assert answered(table.beat, beat, report, seconds) == expected
        if isinstance(expected, BeatAnswer) and not said.is_lost:
            speaker.hear(beat, expected)


def test_the_twin_and_the_script_grow_up_together(script: ToldLeases) -> None:
    """One long life without accidents, where seats move and calls leak for a minute."""
    script.begin()
    table = LeaseTable()
    speakers = [Speaker(name) for name in REPLICAS]
    now_us, seen = 0, set()
    for step in range(720):
        now_us += 83_333
        speaker = speakers[step % 3]
        wanted = 40 if (step // 100) % 3 == step % 3 else 10
        said = quietly(speaker.name, {"work": (wanted // 2, wanted, 0), "run": (1, wanted // 2, step % 40)})
        beat = speaker.beat(said)
        expected = script.beat(beat, b"", now_us)
        assert table.beat(beat, b"", now_us // 1_000_000 + (now_us % 1_000_000) / 1_000_000) == expected
        assert expected is not None
        speaker.hear(beat, expected)
        seen.add((expected.is_learning, expected.grants[0].limit))
    assert {is_learning for is_learning, _ in seen} == {True, False}
    assert len(seen) >= 4


def quietly(replica: str, classes: dict[str, tuple[int, int, int]]) -> Said:
    return Said(
        after_us=0,
        replica=replica,
        classes=classes,
        is_restarted=False,
        is_wiped=False,
        is_leaving=False,
        is_lost=False,
        stale=0,
        incarnations_ago=0,
    )
