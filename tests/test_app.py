"""What the process tells of the store that it shares."""

import pytest

from gateway.admission.lease_store import Beat, BeatAnswer, OvertakenError
from gateway.events import Event, ReplicaOvertaken, StateStoreChanged
from tests.fakes.killable import LoneJournal, LoneLeases
from tests.fakes.runpod import FakeRunpod
from tests.subject import Subject


class TakenName(LoneLeases):
    """A store where a later process has this one's name."""

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer | None:
        await super().beat(beat, report)
        raise OvertakenError


async def test_a_process_whose_name_another_one_has_says_so_and_has_lost_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.app.lease_store", lambda _state: TakenName())
    monkeypatch.setattr("gateway.app.journal_store", lambda *_: LoneJournal())
    gateway = Subject(FakeRunpod(), state={"kind": "redis", "url": "redis://127.0.0.1:1/0"}).gateway
    seen: list[Event] = []
    gateway._observe = seen.append
    assert gateway._agent is not None
    for _ in range(2):
        await gateway._agent.beat()
    assert seen == [
        StateStoreChanged(is_up=False, reason="OvertakenError", policy="share"),
        ReplicaOvertaken(replica=gateway._agent._replica),
    ]
    assert not gateway._readiness().ready
