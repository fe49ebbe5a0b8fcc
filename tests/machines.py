"""An exchange without an event loop: a scripted Runpod answers its actions, and time passes when it is told to."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from gateway.admission.capacity import StaticCapacities
from gateway.admission.ref_counted_hold import RefCountedHold
from gateway.composition.endpoints import Endpoints
from gateway.config.loader import parse_config
from gateway.config.to_domain import endpoint_of
from gateway.domain import Model
from gateway.endpoints.actions import AwaitPermit, Pause, Send
from gateway.endpoints.health_checker import HealthChecker
from gateway.errors import GatewayError, UnreachableError
from gateway.events import Event as Observed
from gateway.events import Observer
from gateway.exchange.actions import AskJournal, Finish, Write
from gateway.exchange.exchange import Exchange
from gateway.exchange.outcomes import Ending
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.exchange.transitions import State
from gateway.fairshare.memory_shares import MemoryShares
from gateway.fairshare.quota import TenantQuota
from gateway.jobs.job_tracker import JobTracker
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from tests.factories import client_request, tenant
from tests.fakes.clock import FakeClock
from tests.stacks import config_of
from tests.subject import EVENTS, PAGES

STEPS_MAX = 500
COMPLETION = json.dumps(
    {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()
Reply = tuple[int, list[bytes]]


class NoTransport(httpx.AsyncBaseTransport):
    """Carries nothing: a machine only says what is to be sent."""


class NoTimer:
    """The timer of a gate in a world whose time stands still: `World` pumps its gates itself."""

    is_set = False

    def set(self, after_s: float) -> None: ...

    def cancel(self) -> None: ...


def services(clock: FakeClock, observe: Observer = lambda _event: None, **options: Any) -> Services:
    """What exchanges use, without a loop."""
    made = endpoint_of(parse_config(config_of("http://127.0.0.1:1", endpoint=options), {}).endpoints[0])
    endpoints = Endpoints(
        [made],
        transport=NoTransport(),
        answers=MemoryShares(64 * 1024 * 1024),
        capacities=StaticCapacities(),
        clock=clock,
        observe=observe,
    )
    for upstream in endpoints.upstreams.values():
        for gate in (upstream.gates.work, *upstream.gates.calls.values()):
            gate._timer = NoTimer()  # type: ignore[assignment]
    jobs = JobTracker(endpoints.upstreams, clock=clock, observe=observe)
    health = HealthChecker(endpoints.upstreams.values(), observe)
    return Services(upstreams=endpoints.upstreams, jobs=jobs, health=health, clock=clock, observe=observe)


class Runpod:
    """Answers each operation with planned replies first, then as a worker does that says "Hello there"."""

    def __init__(self, **planned: list[Reply | GatewayError]) -> None:
        self.planned = planned
        self.paths: list[str] = []
        self._pages = iter(PAGES)

    def reply(self, request: Any) -> Reply | GatewayError:
        operation = request.path.split("/")[1].partition("?")[0]
        self.paths.append(operation)
        if self.planned.get(operation):
            return self.planned[operation].pop(0)
        match operation:
            case "run":
                return 200, [b'{"id":"job-1","status":"IN_QUEUE"}']
            case "stream":
                state, outputs = next(self._pages, ("COMPLETED", []))
                page = {"status": state, "stream": [{"output": output} for output in outputs]}
                return 200, [json.dumps(page).encode()]
            case "status":
                return 200, [b'{"status":"COMPLETED","executionTime":1000,"delayTime":500}']
            case _:
                is_stream = b'"stream":true' in b"".join(bytes(part) for part in request.body)
                return 200, [each.encode() for each in EVENTS] if is_stream else [COMPLETION[:20], COMPLETION[20:]]


class World:
    """One exchange, its client and its Runpod."""

    def __init__(self, runpod: Runpod | None = None, *, stream: bool = True, **options: Any) -> None:
        self.clock = FakeClock()
        self.runpod = runpod or Runpod()
        self.quota = TenantQuota(tenant(tokens_per_minute=options.pop("tokens_per_minute", None)))
        self._stream, self._deadline_s = stream, options.pop("deadline_s", None)
        self.observed: list[Observed] = []
        self.services = services(self.clock, self.observed.append, **options)
        self.sent = b""
        self.is_finished = False
        self.released = 0
        self.exchange = self.new_exchange(stream=stream, deadline_s=self._deadline_s)
        self._steps = self.steps()

    def new_exchange(self, *, stream: bool = True, deadline_s: float | None = None) -> Exchange:
        def release() -> None:
            self.released += 1

        endpoint = self.services.upstreams["chat"].endpoint
        (chat,) = [each for each in CLIENT_FORMATS if each.path == "/v1/chat/completions"]
        resolved = ResolvedRequest(
            request=client_request(stream=stream),
            client_format=chat,
            tenant=tenant(),
            member="key",
            quota=self.quota,
            in_flight=RefCountedHold(lambda: None),
            model=Model(id="m", endpoints=(endpoint,), upstream="org/real", kind=None, label="m"),
            deadline_s=deadline_s,
            release=release,
        )
        record = Record(request_id="r", clock=self.clock, tenant="acme", model="m")
        return Exchange(self.services, resolved, record)

    def steps(self) -> Iterator[Callable[[], object]]:
        """Yield the events of the exchange, one after the other, until it is over; the caller plays each."""
        if self.exchange.state is State.NEW:
            yield self.exchange.start
        while not self.exchange.is_over:
            yield from self.answers(self.exchange.action)

    def answers(self, action: Any) -> Iterator[Callable[[], object]]:
        """Yield the events that answer an action."""
        exchange = self.exchange
        match action:
            case AwaitPermit():
                yield exchange.wait_ended
            case Pause(until_s):
                self.clock.now_s = max(self.clock.now_s, until_s)
                yield exchange.resumed
            case Send(request=request) as send:
                reply = self.runpod.reply(request)
                if isinstance(reply, GatewayError):
                    yield lambda: exchange.failed(reply)
                    return
                status, pieces = reply
                yield lambda: exchange.head(status, None)
                for piece in pieces:
                    if exchange.action is not send:
                        return
                    yield lambda piece=piece: self._receive(exchange.piece(piece))  # type: ignore[misc]
                if exchange.action is send:
                    yield exchange.ended
            case Write(data):
                self._receive(data)
                yield exchange.written
            case Finish(data):
                self._receive(data)
                self.is_finished = True
                yield exchange.written
            case AskJournal():
                yield lambda: exchange.journal_answered(was_taken=False)

    def _receive(self, data: bytes) -> None:
        self.sent += data

    def play(self, *, stop_after: int | None = None) -> int:
        """Play events to the end, or that many; return their number."""
        count = 0
        while count != stop_after and (step := next(self._steps, None)):
            step()
            count += 1
            assert count < STEPS_MAX
        return count

    def held(self) -> dict[str, int]:
        """The permits that are held or waited for, by gate."""
        held: dict[str, int] = {}
        for upstream in self.services.upstreams.values():
            for name, gate in {"work": upstream.gates.work, **upstream.gates.calls}.items():
                if count := sum(gate.held.values()) + sum(gate.waiting.values()):
                    held[str(name)] = count
        return held

    def outliving(self) -> int:
        """How many jobs and relayed requests may run on, and hold a seat for that."""
        abandoned = sum(len(each.abandoned) for each in self.services.upstreams.values())
        return abandoned + sum(self.services.jobs.cancels_pending().values())


CUTS = (Ending.CLIENT, Ending.PROCESS)
LOST = UnreachableError("ReadError", was_sent=True)
