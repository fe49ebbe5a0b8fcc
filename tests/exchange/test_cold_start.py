"""An endpoint that sleeps, is short of workers, or is down: who is sent there, who waits, and what clients are told."""

import errno
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

from gateway.domain import EndpointState
from gateway.endpoints.circuit_breaker import FAILURES_MAX, PAUSE_S_FIRST, Evidence
from gateway.endpoints.upstream import Upstream
from gateway.endpoints.worker_state import SILENT_S_MAX
from gateway.wire.runpod import EndpointHealth
from tests.exchange.test_exchange import content
from tests.factories import tenant
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY, key_line
from tests.subject import EVENTS, PAGES, Subject, answering, running

TWO = {"tenants": [{"name": name, "keys": [key_line(key)]} for name, key in (("acme", KEY), ("other", "other-key"))]}


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what has to come; the bound is for a failure alone."""
    with anyio.fail_after(20):
        while not is_so():
            await anyio.sleep(0.005)


def asleep(**options: Any) -> FakeRunpod:
    """Nobody takes its jobs until a test lets the pages move on."""
    return FakeRunpod(pages=[*[("IN_QUEUE", [])] * 10_000, *PAGES], health={}, **options)


class Crowd:
    """Requests under way together."""

    def __init__(self, subject: Subject, count: int) -> None:
        self._subject = subject
        self.calls: list[AsgiCall] = [subject.call(stream=True) for _ in range(count)]

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            for call in self.calls:
                tasks.start_soon(call.run, self._subject.gateway.app)


async def test_one_request_wakes_an_endpoint_and_the_others_follow() -> None:
    runpod = asleep()
    async with running(runpod, endpoint={"queue_timeout_s": 0.2}) as subject:
        crowd = Crowd(subject, 5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.run)
            # Longer than a turn may take while workers are up.
            await anyio.sleep(0.6)
            assert runpod.count("run") == 1
            assert runpod.count("health") >= 1
            runpod.pages = list(PAGES)
            runpod.running = dict.fromkeys(runpod.running, 0)
        assert [content(call) for call in crowd.calls] == ["Hello there"] * 5
        assert subject.held() == {}


async def test_more_may_be_sent_to_wake_more() -> None:
    runpod = asleep()
    async with running(runpod, endpoint={"max_in_flight_cold": 3}) as subject:
        crowd = Crowd(subject, 5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.run)
            await anyio.sleep(0.1)
            assert runpod.count("run") == 3
            tasks.cancel_scope.cancel()


async def test_a_crowd_before_workers_that_stay_up_is_let_through_at_once() -> None:
    runpod = FakeRunpod(pages=[*[("IN_PROGRESS", [])] * 10_000], health={"idle": 1})
    async with running(runpod, endpoint={"min_workers": 1}) as subject:
        crowd = Crowd(subject, 20)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.run)
            await until(lambda: runpod.count("run") == 20)
            tasks.cancel_scope.cancel()


RESTING = {"idle": 2, "initializing": 0, "ready": 2, "running": 0, "throttled": 0, "unhealthy": 0}


@pytest.mark.parametrize("route", ["job", "auto"])
@pytest.mark.parametrize(
    ("waiting", "workers"),
    [
        # Provisioned workers that /health calls idle and ready, as recorded at the live service.
        (("IN_QUEUE", []), RESTING),
        (("IN_QUEUE", []), {**RESTING, "initializing": 1}),
        # A worker of SDK 2.0 takes its job before its model is loaded.
        (("IN_PROGRESS", []), {**RESTING, "running": 1}),
    ],
)
async def test_until_there_is_output_one_request_wakes_whatever_health_says(
    waiting: Any, workers: dict[str, int], route: str
) -> None:
    runpod = FakeRunpod(pages=[waiting] * 10_000, health=workers, events=["".join(EVENTS).encode()])
    async with running(runpod, endpoint={"route": route}) as subject:
        crowd = Crowd(subject, 7)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.run)
            await until(lambda: runpod.count("health") >= 1 and runpod.count("stream") >= 2)
            assert runpod.count("run") == 1
            assert runpod.count("openai") == 0
            runpod.pages = list(PAGES)
            runpod.running = dict.fromkeys(runpod.running, 0)
        assert [content(call) for call in crowd.calls] == ["Hello there"] * 7
        assert subject.held() == {}


async def test_a_start_that_takes_too_long_is_told_by_what_is_known() -> None:
    told = {}
    for name, page, workers in (
        ("asleep", ("IN_QUEUE", []), RESTING),
        ("loading", ("IN_PROGRESS", []), {"running": 1}),
        ("starting", ("IN_QUEUE", []), {"initializing": 1}),
    ):
        runpod = FakeRunpod(pages=[page] * 10_000, health=workers)
        async with running(runpod, endpoint={"cold_start_timeout_s": 1.2}) as subject:
            crowd = Crowd(subject, 2)
            await crowd.run()
            assert [call.status for call in crowd.calls] == [503, 503]
            told[name] = crowd.calls[0].json["error"]["message"]
    assert "provisioned but scaled down" in told["asleep"]
    assert "loading its model (for 1 s)" in told["loading"]
    assert "a worker is starting (for 1 s)" in told["starting"]
    assert not any(word in message for message in told.values() for word in ("busy", "in use"))


async def test_a_burst_after_a_pause_that_workers_survived_is_not_served_one_by_one() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        workers = subject.gateway._upstreams["chat"].workers
        await subject.post(stream=True)
        # Two quiet hours in a row, each ended by a request that was served at once.
        for _ in range(2):
            workers.evidence_at_s = subject.gateway._clock.monotonic_s() - 3600
            await subject.post(stream=True)
        workers.evidence_at_s = subject.gateway._clock.monotonic_s() - 3600
        runpod.pages = [("IN_PROGRESS", [])] * 10_000
        crowd = Crowd(subject, 20)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.run)
            await until(lambda: sum(called == "run" for called, _ in runpod.calls) == 23)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("workers", "word"), [({"throttled": 2}, "throttled"), ({}, "no workers")])
async def test_what_keeps_workers_away_is_named_to_everybody_who_waited(workers: dict[str, int], word: str) -> None:
    runpod = asleep()
    runpod.health = workers
    async with running(runpod, endpoint={"cold_start_timeout_s": 1.5}) as subject:
        crowd = Crowd(subject, 3)
        with anyio.fail_after(10):
            await crowd.run()
        for call in crowd.calls:
            assert call.status == 503
            assert word in call.json["error"]["message"]
            assert int(call.headers["retry-after"]) >= 1
        await subject.gateway.exchanges._services.jobs.flush()
        assert subject.held() == {}
    assert runpod.running == {}


async def test_the_wait_that_is_told_is_what_starts_took() -> None:
    runpod = asleep()
    async with running(runpod, endpoint={"cold_start_timeout_s": 0.3}) as subject:
        subject.gateway._upstreams["chat"].workers._lessons._starts.note("acme", 41.0)
        assert (await subject.post()).headers["retry-after"] == "41"


async def test_an_endpoint_that_fails_is_given_a_rest_and_the_next_one_serves() -> None:
    entry = {"base_url": "http://127.0.0.1:1/v2", "api_key": "k", "route": "job"}
    endpoints = [{"name": "first", "id": "ep1", **entry}, {"name": "second", "id": "ep1", **entry}]
    models = [{"id": "m", "endpoint": ["first", "second"]}, {"id": "alone", "endpoint": "first"}]
    runpod = answering()
    async with running(runpod, endpoints=endpoints, models=models) as subject:
        for number in range(FAILURES_MAX):
            runpod.answers = {"run": [httpx.ConnectError("refused")]}
            assert content(await subject.post(stream=True)) == "Hello there"
            assert runpod.count("run") == 2 * (number + 1)
        assert subject.gateway._upstreams["first"].is_down
        # Not asked any more.
        assert (await subject.post(stream=True)).headers["x-fairpod-endpoint"] == "second"
        assert runpod.count("run") == 2 * FAILURES_MAX + 1
        refused = await subject.post(model="alone")
        assert refused.status == 503
        assert "temporarily excluded" in refused.json["error"]["message"]
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert not subject.gateway._upstreams["second"].is_down


async def test_a_rested_endpoint_is_tried_by_one_request_after_a_look_that_wakes_nobody() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        for _ in range(FAILURES_MAX):
            upstream._breaker.tell(Evidence.CERTAIN, "acme", subject.gateway._clock.monotonic_s() - 10)
        assert runpod.count("health") == 0
        with anyio.fail_after(5):
            while not runpod.count("health"):
                await anyio.sleep(0.05)
        await anyio.sleep(0.05)
        assert runpod.count("run") == 0
        assert content(await subject.post(stream=True)) == "Hello there"
        assert not upstream.is_down


async def test_a_crowd_waits_for_the_one_that_tries() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        now_s = subject.gateway._clock.monotonic_s()
        for _ in range(FAILURES_MAX):
            upstream._breaker.tell(Evidence.CERTAIN, "acme", now_s - 10)
        upstream.on_health(EndpointHealth(workers={"idle": 1}))
        crowd = Crowd(subject, 5)
        with anyio.fail_after(5):
            await crowd.run()
        assert [content(call) for call in crowd.calls] == ["Hello there"] * 5
        assert not upstream.is_down


async def test_what_a_worker_says_of_a_request_is_no_failure_of_its_endpoint() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"openai": [(400, b'{"error":{"message":"no","code":400}}')] * 20}
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        for _ in range(2 * FAILURES_MAX):
            assert (await subject.post()).status == 400
        assert not subject.gateway._upstreams["chat"].is_down


WORKER_ANSWERS = [
    (500, b'{"error":"cannot identify image file"}'),
    (500, b'{"error":{"message":"boom","type":"server_error"}}'),
    (500, b'{"error":"handler: boom\\ntraceback: x"}'),
    (500, b"Internal Server Error"),
    (502, b'{"error":{"message":"engine gone"}}'),
    (503, b'{"error":{"message":"engine queue full"}}'),
    (503, b""),
    (524, b'{"detail":"slow"}'),
    (404, b'{"error":{"message":"model my-endpoint does not exist"}}'),
    (404, b'{"detail":"Not Found"}'),
    (401, b'{"error":{"message":"no"}}'),
    (403, b'{"error":{"message":"flagged","type":"policy","code":"content_filter"}}'),
    (405, b'{"object":"error","message":"no"}'),
    (302, b""),
]


@pytest.mark.parametrize(("status", "body"), WORKER_ANSWERS)
async def test_no_answer_of_a_worker_shuts_out_other_tenants(status: int, body: bytes) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"openai": [(status, body)] * 3 * FAILURES_MAX}
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        for _ in range(2 * FAILURES_MAX):
            call = await subject.post()
            assert call.status == (status if 400 <= status < 500 else 502)
        assert not subject.gateway._upstreams["chat"].is_down


OUTAGES: list[tuple[str, Any]] = [
    ("openai", (502, b"<html>")),
    ("openai", (524, b"")),
    ("openai", (401, b"")),
    ("openai", (403, b'{"error":"forbidden"}')),
    ("openai", (404, b'{"error":"endpoint not found"}')),
    ("openai", httpx.ReadError("broken")),
    ("run", (502, b"<html>")),
    ("run", httpx.ReadTimeout("slow")),
]


@pytest.mark.parametrize(("operation", "answer"), OUTAGES)
async def test_what_content_can_cause_turns_away_its_own_tenant_for_a_moment_and_no_other(
    operation: str, answer: Any
) -> None:
    runpod = answering()
    async with running(runpod, endpoint={"route": "openai" if operation == "openai" else "job"}, **TWO) as subject:
        assert (await subject.post(stream=True)).status == 200
        for failures in (5, 10, 50):
            runpod.answers = {operation: [answer] * failures}
            for _ in range(FAILURES_MAX):
                assert (await subject.post()).status == 502
            refused = await subject.post()
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) <= PAUSE_S_FIRST
            while len(runpod.answers[operation]):
                await anyio.sleep(PAUSE_S_FIRST)
                assert (await subject.post()).status == 502
            # Not one of its own requests was served meanwhile, and the other tenant comes first of all.
            assert content(await subject.post(key="other-key", stream=True)) == "Hello there"
            # That shows that the endpoint is there, so that the first one may go on too.
            assert content(await subject.post(stream=True)) == "Hello there"
            assert not subject.gateway._upstreams["chat"].is_down


@pytest.mark.parametrize(("operation", "answer"), OUTAGES)
async def test_an_outage_that_several_tenants_see_gives_the_endpoint_a_rest(operation: str, answer: Any) -> None:
    runpod = answering()
    async with running(runpod, endpoint={"route": "openai" if operation == "openai" else "job"}, **TWO) as subject:
        runpod.answers = {operation: [answer] * FAILURES_MAX}
        for number in range(FAILURES_MAX):
            assert (await subject.post(key=(KEY, "other-key")[number % 2])).status == 502
        assert subject.gateway._upstreams["chat"].is_down
        assert (await subject.post()).status == 503


@pytest.mark.parametrize(("status", "body"), [(401, b""), (403, b'{"error":"forbidden"}'), (404, b"")])
async def test_what_runpod_s_job_api_says_of_the_account_counts_at_once(status: int, body: bytes) -> None:
    runpod = answering()
    runpod.answers = {"run": [(status, body)] * FAILURES_MAX}
    async with running(runpod, endpoint={"route": "job"}) as subject:
        for _ in range(FAILURES_MAX):
            assert (await subject.post()).status == 502
        assert subject.gateway._upstreams["chat"].is_down


async def test_one_tenant_alone_sees_an_outage_where_health_is_gone_too() -> None:
    runpod = answering()
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        upstream = subject.gateway._upstreams["chat"]
        assert (await subject.post(stream=True)).status == 200
        await until(lambda: runpod.count("health") > 0)
        runpod.answers = {"openai": [(502, b"")] * 1000, "health": [(502, b"")] * 1000}
        for _ in range(FAILURES_MAX + 12):
            assert (await subject.post()).status >= 502
            await anyio.sleep(2)
        assert upstream.is_down


async def test_a_gateway_without_descriptors_gives_no_endpoint_a_rest() -> None:
    runpod = answering()
    failures: list[Any] = []
    for _ in range(9 * FAILURES_MAX):
        failure = httpx.ConnectError("connection failed")
        failure.__cause__ = OSError(errno.EMFILE, "Too many open files")
        failures.append(failure)
    runpod.answers = {"run": failures}
    async with running(runpod) as subject:
        for _ in range(2 * FAILURES_MAX):
            # This process is at fault, and another one may serve the request.
            assert (await subject.post()).status == 503
        runpod.answers = {}
        assert content(await subject.post(stream=True)) == "Hello there"


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"message":"Not Found"}'])
async def test_a_404_that_says_nothing_counts_only_at_an_endpoint_that_has_not_served_lately(body: bytes) -> None:
    for has_served in (True, False):
        runpod = answering()
        async with running(runpod, endpoint={"route": "openai"}) as subject:
            if has_served:
                assert (await subject.post(stream=True)).status == 200
            runpod.answers = {"openai": [(404, body)] * FAILURES_MAX}
            for _ in range(FAILURES_MAX):
                assert (await subject.post()).status == 502
            assert ((await subject.post(stream=True)).status == 503) is not has_served
            assert not subject.gateway._upstreams["chat"].is_down


async def test_a_firewall_that_dislikes_one_tenant_s_prompts_shuts_out_nobody() -> None:
    for route, operation in (("job", "run"), ("openai", "openai")):
        runpod = answering()
        async with running(runpod, endpoint={"route": route}) as subject:
            assert (await subject.post(stream=True)).status == 200
            runpod.answers = {operation: [(403, b"<!DOCTYPE html>")] * FAILURES_MAX}
            for _ in range(FAILURES_MAX):
                assert (await subject.post()).status == 502
            assert not subject.gateway._upstreams["chat"].is_down


async def test_a_whole_answer_is_given_up_when_its_client_has_said_it_would() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [])] * 10_000)
    async with running(runpod) as subject:
        call = subject.call()
        call.scope["headers"].append((b"x-stainless-read-timeout", b"0.4"))
        with anyio.fail_after(5):
            await call.run(subject.gateway.app)
        assert call.status == 504
        assert 15_000 < runpod.bodies[0]["policy"]["ttl"] <= 15_400
        await subject.gateway.exchanges._services.jobs.flush()
    assert runpod.running == {}


async def test_the_time_between_two_pieces_of_a_stream_bounds_no_job() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        call = subject.call(stream=True)
        call.scope["headers"].append((b"x-stainless-read-timeout", b"5"))
        await call.run(subject.gateway.app)
        assert content(call) == "Hello there"
        assert runpod.bodies[0]["policy"]["ttl"] > 60_000


def on_trial(subject: Subject) -> Upstream:
    """Its endpoint failed, rested, and was seen to be well: the next request tries it."""
    upstream = subject.gateway._upstreams["chat"]
    for _ in range(FAILURES_MAX):
        upstream._breaker.tell(Evidence.CERTAIN, "acme", subject.gateway._clock.monotonic_s() - 10)
    upstream.on_health(EndpointHealth(workers={"idle": 1}))
    return upstream


async def test_the_first_byte_of_a_relayed_answer_ends_the_trial() -> None:
    runpod = answering()
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        upstream = on_trial(subject)
        first, may_read = subject.call(stream=True), anyio.Event()
        send = first.send

        async def slowly(message: Any) -> None:
            await send(message)
            await may_read.wait()

        first.send = slowly  # type: ignore[method-assign]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run, subject.gateway.app)
            with anyio.fail_after(5):
                while not first.messages:
                    await anyio.sleep(0.01)
            # The first one is still being read.
            assert content(await subject.post(stream=True)) == "Hello there"
            may_read.set()
        assert not upstream.is_down


async def test_a_trial_that_runpod_puts_off_is_none() -> None:
    runpod = answering()
    runpod.answers = {"run": [(429, b"")]}
    async with running(runpod) as subject:
        upstream = on_trial(subject)
        assert content(await subject.post(stream=True)) == "Hello there"
        assert not upstream.is_down


@pytest.mark.parametrize(("route", "operation"), [("job", "run"), ("openai", "openai")])
@pytest.mark.parametrize("status", [400, 422])
async def test_a_request_that_runpod_finds_at_fault_shuts_out_nobody(route: str, operation: str, status: int) -> None:
    runpod = answering()
    runpod.answers = {operation: [(status, b"")] * 3 * FAILURES_MAX}
    async with running(runpod, endpoint={"route": route}) as subject:
        for _ in range(FAILURES_MAX):
            # On the OpenAI route it is the worker that answers, and a 4xx stays one.
            assert (await subject.post(stream=True)).status == (400 if route == "openai" else 502)
        assert not subject.gateway._upstreams["chat"].is_down


def rest(subject: Subject, pause_s: float = 3600.0) -> Upstream:
    """Let its endpoint have been seen at work so long ago."""
    upstream = subject.gateway._upstreams["chat"]
    upstream.workers.evidence_at_s = upstream.now_s - pause_s
    return upstream


async def test_a_crowd_of_whole_answers_after_a_pause_follows_the_first_that_is_taken() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        await subject.post()
        rest(subject)
        # A worker has each of them at once, and shows nothing for as long as it writes.
        runpod.pages = [("IN_PROGRESS", [])] * 10_000
        calls = [subject.call() for _ in range(20)]
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call.run, subject.gateway.app)
            await anyio.sleep(0.5)
            assert runpod.count("run") == 21
            tasks.cancel_scope.cancel()


async def test_a_job_that_a_late_poll_finds_taken_is_dated_by_runpod_s_own_delay() -> None:
    runpod = answering()
    async with running(runpod) as subject:
        await subject.post()
        upstream = rest(subject)
        runpod.pages, runpod.status = [("IN_PROGRESS", [])] * 10_000, {"status": "IN_PROGRESS", "delayTime": 400}
        runpod.answers = {"stream": [httpx.ReadError("broken")]}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.call().run, subject.gateway.app)
            # The first poll was lost, and the next one came a while later.
            await until(lambda: upstream.workers.state(upstream.now_s) is EndpointState.WARM)
            tasks.cancel_scope.cancel()


async def test_a_stream_that_hangs_keeps_nobody_from_waking_the_endpoint() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [EVENTS[1]]), *[("IN_PROGRESS", [])] * 10_000])
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.call(stream=True).run, subject.gateway.app)
            await until(lambda: upstream.workers.speaking == 1)
            assert upstream.workers.is_warm(upstream.now_s)
            await anyio.sleep(SILENT_S_MAX + 5)
            assert not upstream.workers.is_warm(upstream.now_s)
            runpod.pages = list(PAGES)
            assert content(await subject.post(stream=True)) == "Hello there"
            tasks.cancel_scope.cancel()


async def test_those_in_line_are_let_through_by_what_is_known_when_their_turn_comes() -> None:
    runpod = asleep()
    async with running(runpod, endpoint={"max_in_flight": 4, "route": "job"}) as subject:
        upstream = rest(subject, 1.0)
        crowd, behind = Crowd(subject, 4), Crowd(subject, 4)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crowd.run)
            await until(lambda: runpod.count("run") == 4)
            tasks.start_soon(behind.run)
            await until(lambda: bool(upstream.gates.work.waiting))
            # Nobody was answered, and their clients leave.
            rest(subject)
            for call in crowd.calls:
                call.leave()
            await anyio.sleep(1)
            assert runpod.count("run") == 5
            assert upstream.gates.work.held == {"acme": 1}
            tasks.cancel_scope.cancel()


HANDLER_ERROR = "handler: no such voice \ntraceback: Traceback (most recent call last)"


@pytest.mark.parametrize(
    ("error", "is_evidence"),
    [
        (HANDLER_ERROR, True),
        ('{"error_type": "<class \'ValueError\'>", "error_message": "no"}', True),
        ("vLLM returned HTTP 400: no", True),
        ("job timed out after 1 retries", False),
        ('{"event": "prestart_failed", "error_message": "no GPU"}', False),
        (None, False),
    ],
)
async def test_a_job_that_failed_in_its_handler_shows_that_a_worker_runs(
    error: str | None, *, is_evidence: bool
) -> None:
    runpod = FakeRunpod(pages=[("FAILED", [])])
    runpod.status = {"status": "FAILED", "error": error}
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        assert (await subject.post(stream=True)).status >= 400
        assert upstream.workers.is_warm(upstream.now_s) is is_evidence
        assert upstream.workers.speaking == 0


async def test_a_relayed_refusal_of_the_worker_s_shows_that_one_runs() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"openai": [(400, b'{"error":{"message":"no","code":400}}'), (429, b"")]}
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        upstream = subject.gateway._upstreams["chat"]
        assert (await subject.post()).status == 400
        assert upstream.workers.is_warm(upstream.now_s)
        upstream.workers.evidence_at_s = None
        await subject.post()
        assert not upstream.workers.is_warm(upstream.now_s)


@pytest.mark.parametrize("body", [b"", b"<html>", b"Request Entity Too Large", b'{"error":"too large"}'])
async def test_a_refusal_that_the_edge_may_have_written_keeps_no_endpoint_warm(body: bytes) -> None:
    runpod = answering()
    async with running(runpod, endpoint={"route": "auto"}, **TWO) as subject:
        upstream = subject.gateway._upstreams["chat"]
        await subject.post(stream=True)
        for _ in range(4):
            runpod.answers = {"openai": [(413, body)]}
            assert (await subject.post(stream=True)).status == 413
            await anyio.sleep(1.1)
        runpod.answers = {}
        relayed = runpod.count("openai")
        # The worker may be gone: another tenant's request waits in the queue, and not on a connection that is cut.
        assert not upstream.workers.is_warm(upstream.now_s)
        assert content(await subject.post(key="other-key", stream=True)) == "Hello there"
        assert runpod.count("openai") == relayed


async def test_a_stream_that_goes_on_lets_those_through_who_wait_for_a_worker() -> None:
    runpod = answering()
    async with running(runpod, endpoint={"queue_timeout_s": 60}) as subject:
        upstream = rest(subject)
        work = upstream.gates.work
        async with anyio.create_task_group() as tasks, work.permit(tenant(), wait_s_max=1):
            stream = upstream.begin(tenant())
            stream.output(upstream.now_s - SILENT_S_MAX - 1)
            upstream.workers._cold_at_s = upstream.now_s
            async with work.permit(tenant(), wait_s_max=1):
                tasks.start_soon(subject.call(stream=True).run, subject.gateway.app)
                await anyio.sleep(3)
                assert runpod.count("run") == 0
                stream.heard(upstream.now_s)
                await until(lambda: runpod.count("run") == 1)
            stream.end(upstream.now_s)
