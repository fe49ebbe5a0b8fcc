"""A supervisor whose tasks a test can kill, and stores that need no server."""

from collections import Counter

import anyio
import anyio.lowlevel

from gateway.admission.lease_store import Beat, BeatAnswer, Grant
from gateway.clock import Clock
from gateway.events import Observer
from gateway.jobs.journal import Entry, EntryAnswer
from gateway.supervisor import Run, Supervisor


class KilledError(Exception):
    """What a killed task fails with."""


class KillableSupervisor(Supervisor):
    """Runs each task beside another one, which fails when the test says so; to the task that is any fault within it."""

    def __init__(self, clock: Clock, observe: Observer) -> None:
        super().__init__(clock, observe)
        self.runs: Counter[str] = Counter()
        self._kills: dict[str, anyio.Event] = {}

    async def keep(self, name: str, run: Run) -> None:
        async def run_until_killed() -> None:
            self.runs[name] += 1
            async with anyio.create_task_group() as tasks:
                self._kills[name] = anyio.Event()
                tasks.start_soon(self._fail, self._kills[name])
                await run()

        await super().keep(name, run_until_killed)

    async def _fail(self, kill: anyio.Event) -> None:
        await kill.wait()
        raise KilledError

    def kill(self, name: str) -> None:
        """Let the task fail now."""
        self._kills[name].set()


class LoneLeases:
    """A store of leases for one replica: it gets what it asks for."""

    def __init__(self) -> None:
        self.beats = 0

    async def beat(self, beat: Beat, report: bytes) -> BeatAnswer | None:  # noqa: ARG002 - the Protocol's.
        await anyio.lowlevel.checkpoint()
        self.beats += 1
        grants = [Grant(ask.epoch + 1, ask.seats, ask.want, 0) for ask in beat.asks]
        return BeatAnswer(is_learning=False, grants=grants, reports={}, now_s=0.0)

    async def aclose(self) -> None:
        pass


class LoneJournal:
    """A journal's store for one process."""

    def __init__(self) -> None:
        self.entries = 0

    async def write(self, entry: Entry) -> EntryAnswer:  # noqa: ARG002 - the Protocol's.
        await anyio.lowlevel.checkpoint()
        self.entries += 1
        return EntryAnswer(was_known=self.entries > 1, jobs=[])

    async def aclose(self) -> None:
        pass
