"""Every background task of a process, killed once: what each does goes on, and nobody is served worse for it.

The tasks are those that the supervisor started, so one that is added is killed here as well, and needs a proof that it
works again in `Victim.proofs`.
"""

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import structlog

from gateway.exchange.client_response import KeepAliveIntervals
from gateway.observability.logs import configure_logs
from tests.fakes.asgi import AsgiCall
from tests.fakes.killable import KillableSupervisor, LoneJournal, LoneLeases
from tests.fakes.runpod import FakeRunpod
from tests.subject import PAGES, Subject, event
from tests.virtual_time import LoopClock

BACK_S_MAX = 5.0
"""How long after its death everything works again."""
COMMENT_S = 1.0
TASKS = {"keepalive", "review", "deadlines", "idempotency", "health", "cancels", "journal", "leases"}
ENDLESS: list[Any] = [*PAGES[:2], *[("IN_PROGRESS", [event(delta={"content": "."})])] * 100_000]


class Victim:
    """A gateway whose tasks can be killed, with everything that a process can have in the background."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        configure_logs("json", sys.stderr)
        self.leases, self.journal = LoneLeases(), LoneJournal()
        monkeypatch.setattr("gateway.app.lease_store", lambda _state: self.leases)
        monkeypatch.setattr("gateway.app.journal_store", lambda *_: self.journal)
        self.runpod = FakeRunpod(pages=list(PAGES))
        state = {"kind": "redis", "url": "redis://127.0.0.1:1/0"}
        self.subject = Subject(self.runpod, intervals=KeepAliveIntervals(comment_s=COMMENT_S), state=state)
        self.gateway = self.subject.gateway
        self.supervisor = KillableSupervisor(LoopClock(), self.gateway._observe)
        self.gateway.supervisor = self.supervisor
        self.upstream = self.gateway._upstreams["chat"]
        self.reviews = 0
        review = self.upstream.review

        def count() -> None:
            self.reviews += 1
            review()

        monkeypatch.setattr(self.upstream, "review", count)

    def kill(self, name: str) -> None:
        self.supervisor.kill(name)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.gateway.background)
            await anyio.sleep(1)
            yield
            tasks.cancel_scope.cancel()

    def bugs(self) -> str:
        lines = self.gateway._metrics.render("")[0].decode().splitlines()
        return next(line for line in lines if line.startswith("gateway_bugs_total"))

    async def proofs(self, name: str) -> None:
        """Wait until what this task does was done."""
        wait: dict[str, Callable[[], Any]] = {
            "keepalive": self._sign_of_life,
            "review": lambda: _more(lambda: self.reviews),
            "deadlines": self._deadline,
            "idempotency": self._keyed,
            "health": self._health,
            "cancels": self._cancel,
            "journal": lambda: _more(lambda: self.journal.entries),
            "leases": lambda: _more(lambda: self.leases.beats),
        }
        await wait[name]()

    async def everything(self) -> None:
        await self._request()
        for name in self.supervisor.names:
            await self.proofs(name)
        probe = AsgiCall("/livez", {})
        probe.scope["method"] = "GET"
        await probe.run(self.gateway.app)
        assert probe.status == 200

    def keyed(self) -> AsgiCall:
        call = self.subject.call(stream=True)
        call.scope["headers"].append((b"idempotency-key", b"k"))
        return call

    async def _request(self) -> None:
        assert (await self.subject.post(stream=True)).events[-1] == "[DONE]"

    async def _deadline(self) -> None:
        """A client that limits its time is answered when the time is over."""
        self.runpod.pages = [("IN_PROGRESS", [])] * 100_000
        call = self.subject.call(headers={"x-stainless-timeout": "0.5"})
        await call.run(self.gateway.app)
        assert call.status == 504
        self.runpod.pages = list(PAGES)

    async def _keyed(self) -> None:
        while True:
            await (call := self.keyed()).run(self.gateway.app)
            if call.status == 200:
                return
            # Refused while its task is not back yet, as an SDK comes again.
            assert call.status == 503
            await anyio.sleep(0.1)

    async def _health(self) -> None:
        before = self.runpod.count("health")
        self.gateway.exchanges._services.health.ask(self.upstream)
        while self.runpod.count("health") == before:
            await anyio.sleep(0.05)

    async def _cancel(self) -> None:
        self.runpod.pages = list(ENDLESS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon((call := self.subject.call(stream=True)).run, self.gateway.app)
            while not self.runpod.running:
                await anyio.sleep(0.05)
            call.leave()
        self.runpod.pages = list(PAGES)
        while self.runpod.running:
            await anyio.sleep(0.05)

    async def _sign_of_life(self) -> None:
        self.runpod.pages = [("IN_PROGRESS", [])] * 100_000
        async with anyio.create_task_group() as tasks:
            tasks.start_soon((call := self.subject.call(stream=True)).run, self.gateway.app)
            while b"\n: " not in b"\n" + call.body:
                await anyio.sleep(0.05)
            call.leave()
        self.runpod.pages = list(PAGES)


async def _more(count: Callable[[], int]) -> None:
    before = count()
    while count() == before:
        await anyio.sleep(0.05)


@pytest.fixture
def victim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Victim]:
    yield Victim(monkeypatch)
    structlog.reset_defaults()


async def test_these_are_the_background_tasks(victim: Victim) -> None:
    async with victim.running():
        assert set(victim.supervisor.names) == TASKS
        await victim.everything()
    assert victim.bugs() == "gateway_bugs_total 0.0"


@pytest.mark.parametrize("name", sorted(TASKS))
async def test_everything_works_again_after_the_death_of_one(victim: Victim, name: str) -> None:
    print(name)
    async with victim.running():
        victim.kill(name)
        await anyio.lowlevel.checkpoint()
        with anyio.fail_after(BACK_S_MAX):
            await victim.everything()
        assert victim.bugs() == "gateway_bugs_total 1.0"


@pytest.mark.parametrize("name", sorted(TASKS))
async def test_a_stream_goes_on_while_a_task_dies(victim: Victim, name: str) -> None:
    victim.runpod.pages = [PAGES[0], PAGES[1], *[("IN_PROGRESS", [])] * 20, *PAGES[2:]]
    async with victim.running(), anyio.create_task_group() as tasks:
        call = victim.subject.call(stream=True)
        tasks.start_soon(call.run, victim.gateway.app)
        while not call.messages:
            await anyio.sleep(0.01)
        victim.kill(name)
        with anyio.fail_after(60):
            while not call.is_complete:
                await anyio.sleep(0.05)
    assert call.events[-1] == "[DONE]"
    assert victim.runpod.count("run") == 1


@pytest.mark.parametrize("is_in_flight", [True, False])
async def test_a_cancel_that_was_under_way_is_made_again(victim: Victim, is_in_flight: bool) -> None:
    victim.runpod.pages = list(ENDLESS)
    victim.runpod.answers = {"cancel": [(500, b"")]}
    async with victim.running(), anyio.create_task_group() as tasks:
        tasks.start_soon((call := victim.subject.call(stream=True)).run, victim.gateway.app)
        while not victim.runpod.running:
            await anyio.sleep(0.01)
        call.leave()
        while not victim.runpod.count("cancel"):
            await anyio.lowlevel.checkpoint()
        if not is_in_flight:
            # It failed, and its task waits for the next try.
            await anyio.sleep(0.2)
        assert victim.gateway._jobs.cancels_pending() == {"chat": 1}
        victim.kill("cancels")
        with anyio.fail_after(BACK_S_MAX):
            await victim.gateway._jobs.flush()
        assert victim.runpod.running == {}


async def test_clients_of_a_keyed_request_are_told_when_its_task_dies(victim: Victim) -> None:
    victim.runpod.pages = list(ENDLESS)
    async with victim.running(), anyio.create_task_group() as tasks:
        calls = [victim.keyed() for _ in range(3)]
        for call in calls:
            tasks.start_soon(call.run, victim.gateway.app)
        while not all(call.messages for call in calls):
            await anyio.sleep(0.01)
        victim.kill("idempotency")
        with anyio.fail_after(BACK_S_MAX):
            while not all(call.is_complete for call in calls):
                await anyio.sleep(0.05)
            await victim.gateway._jobs.flush()
        assert victim.runpod.running == {}
        assert ["error" in call.events[-1] for call in calls] == [True] * 3
        victim.runpod.pages = list(PAGES)
        with anyio.fail_after(BACK_S_MAX):
            await victim.proofs("idempotency")
        # Its job holds its seat until it is known to be over.
        await anyio.sleep(1)
    assert victim.subject.held() == {}


async def test_a_task_that_dies_again_and_again_shows_at_livez(victim: Victim) -> None:
    async with victim.running():
        with anyio.fail_after(120):
            while victim.supervisor.given_up is None:
                victim.kill("review")
                await anyio.sleep(0.01)
        for path, body in (("/livez", b'{"status":"failed","task":"review"}'), ("/readyz", b'"ready":false')):
            probe = AsgiCall(path, {})
            probe.scope["method"] = "GET"
            await probe.run(victim.gateway.app)
            assert probe.status == 503
            assert body in probe.body
        # What runs is served to its end all the same.
        await victim._request()
        await victim._cancel()
