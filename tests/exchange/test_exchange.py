"""The story of a request, told to a client: every way it can go."""

import json
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import msgspec
import pytest

from gateway.config.keys import key_line
from gateway.events import Event, Settled
from gateway.exchange.client_response import KeepAliveIntervals
from gateway.jobs.cost_reader import PAUSES_S
from tests.factories import left_job, tenant
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY
from tests.subject import CHAT, EVENTS, PAGES, answering, event, running

BROKEN = httpx.ReadError("the connection broke")
COMPLETION = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def content(call: Any) -> str:
    chunks = [each for each in call.events if isinstance(each, dict) and "error" not in each]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def test_a_stream_reaches_the_client() -> None:
    async with running(answering()) as subject:
        call = await subject.post(stream=True)
    assert call.status == 200
    assert call.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert call.headers["x-fairpod-job-id"] == "job-1"
    assert call.headers["x-fairpod-endpoint"] == "chat"
    assert int(call.headers["x-fairpod-queue-ms"]) < 100
    assert content(call) == "Hello there"
    assert call.events.count("[DONE]") == 1
    assert call.events[-1] == "[DONE]"
    assert call.is_complete
    assert subject.held() == {}
    assert subject.runpod.count("cancel") == 0


async def test_a_whole_answer_reaches_the_client() -> None:
    async with running(FakeRunpod(pages=[("COMPLETED", [COMPLETION])])) as subject:
        call = await subject.post()
    assert call.status == 200
    assert call.headers["content-length"] == str(len(call.body))
    assert call.json["choices"][0]["message"]["content"] == "Hello"
    assert call.json["id"].startswith("chatcmpl-")


async def test_the_job_carries_the_request_and_its_deadlines() -> None:
    async with running(answering()) as subject:
        await subject.post(stream=True, top_k=7)
    submitted = subject.runpod.bodies[0]
    assert submitted["input"]["openai_route"] == CHAT
    assert submitted["input"]["openai_input"]["top_k"] == 7
    assert submitted["input"]["openai_input"]["model"] == "org/real-model"
    assert submitted["policy"] == {"executionTimeout": 600_000, "ttl": 1_260_000}


async def test_a_failed_job_is_an_http_error_before_the_first_byte() -> None:
    runpod = FakeRunpod(pages=[("FAILED", [])])
    runpod.status = {"status": "FAILED", "error": "{'message': 'bad n', 'type': 'BadRequestError', 'code': 400}"}
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert call.status == 400
    assert call.json["error"]["message"] == "bad n"
    assert call.headers["x-fairpod-job-id"] == "job-1"


async def test_a_failed_job_is_an_event_after_it() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS[:2]), ("FAILED", [])])
    runpod.status = {"status": "FAILED", "error": "handler: boom \ntraceback: secret"}
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert call.status == 200
    assert content(call) == "Hello"
    assert set(call.events[-1]) == {"error"}
    assert "secret" not in call.body.decode()
    assert call.is_complete


async def test_an_error_that_arrives_as_output_is_an_error() -> None:
    error = {"error": {"message": "maximum context length is 5", "code": 400}}
    async with running(FakeRunpod(pages=[("COMPLETED", [error])])) as subject:
        call = await subject.post()
        assert call.status == 400
        assert call.json["error"]["code"] == "context_length_exceeded"
    events = [EVENTS[1], "data: " + json.dumps(error) + "\n\n", "data: [DONE]\n\n"]
    async with running(FakeRunpod(pages=[("IN_PROGRESS", events[:1]), ("COMPLETED", events[1:])])) as subject:
        call = await subject.post(stream=True)
        assert "error" in call.events[-1]
        assert "[DONE]" not in call.events


async def test_completed_without_output_is_an_error() -> None:
    runpod = FakeRunpod(pages=[("COMPLETED", [])])
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert call.status == 502
    assert "without output" in call.json["error"]["message"]


async def test_a_stream_without_content_is_an_error() -> None:
    async with running(FakeRunpod(pages=[("COMPLETED", ["data: [DONE]\n\n"])])) as subject:
        assert (await subject.post(stream=True)).status == 502
        assert (await subject.post()).status == 502


@pytest.mark.parametrize("failure", [(429, b""), httpx.ConnectError("refused")])
async def test_a_poll_that_failed_without_being_taken_is_made_again(failure: Any) -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    # Asked when the worker began, as polls left it open.
    runpod.answers = {"stream": [failure], "status": [(200, b'{"status":"IN_PROGRESS","delayTime":10}')]}
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello there"


@pytest.mark.parametrize("failure", [(524, b"<html>"), (200, b"{"), BROKEN])
async def test_a_lost_page_is_repaired_from_the_status(failure: Any) -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    runpod.answers = {
        "stream": [(200, json.dumps({"status": "IN_PROGRESS", "stream": [{"output": EVENTS[0]}]}).encode()), failure]
    }
    runpod.status = {"status": "COMPLETED", "output": EVENTS, "executionTime": 5}
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello there"
    assert call.events[-1] == "[DONE]"


async def test_a_lost_page_that_nothing_repairs_is_an_error_event() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    first = json.dumps({"status": "IN_PROGRESS", "stream": [{"output": event(delta={"content": "Hel"})}]}).encode()
    runpod.answers = {"stream": [(200, first), BROKEN]}
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hel"
    assert "lost" in call.events[-1]["error"]["message"]


async def test_patience_with_failing_polls_ends() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    runpod.answers = {"stream": [(429, b"")] * 100}
    # With the execution's time nearly over the pauses are short.
    async with running(runpod, endpoint={"cold_start_timeout_s": 0.5}) as subject:
        call = await subject.post(stream=True)
        assert call.status in {503, 504}
        with anyio.fail_after(2):
            await subject.gateway.exchanges._services.jobs.flush()
    assert runpod.running == {}


async def test_a_job_that_nobody_takes_is_given_up_and_cancelled() -> None:
    runpod = FakeRunpod(pages=[("IN_QUEUE", [])] * 1000)
    async with running(runpod, endpoint={"cold_start_timeout_s": 0.3}) as subject:
        call = await subject.post(stream=True)
        assert call.status == 503
        assert "No Runpod worker" in call.json["error"]["message"]
        assert 1 <= int(call.headers["retry-after"]) <= 60
        with anyio.fail_after(2):
            await subject.gateway.exchanges._services.jobs.flush()
        assert runpod.running == {}
        assert subject.held() == {}


async def test_a_job_that_never_ends_is_given_up_and_cancelled() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [EVENTS[1]]), *[("IN_PROGRESS", [])] * 1000])
    async with running(runpod, endpoint={"execution_timeout_s": 0.3}) as subject:
        call = await subject.post(stream=True)
        assert call.events[-1]["error"]["code"] == "server_error"
        with anyio.fail_after(2):
            await subject.gateway.exchanges._services.jobs.flush()
        assert runpod.running == {}


async def test_an_expired_job_is_an_error() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    runpod.answers = {"stream": [(404, b"")]}
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert call.status == 502
    assert runpod.count("cancel") == 0


async def test_a_busy_runpod_gets_the_submission_again() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    runpod.answers = {"run": [(429, b"")]}
    async with running(runpod) as subject:
        assert (await subject.post(stream=True)).status == 200


async def test_a_submission_that_may_have_been_taken_is_not_repeated() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    runpod.answers = {"run": [BROKEN]}
    async with running(runpod) as subject:
        assert (await subject.post(stream=True)).status == 502
    assert runpod.count("run") == 1


async def test_a_refused_key_is_the_operator_s_to_mend() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"run": [(401, b'{"error":"rpa_test_key is wrong"}')]}
    async with running(runpod) as subject:
        call = await subject.post()
    assert call.status == 502
    assert "rpa_" not in call.body.decode()
    assert "401" in call.json["error"]["message"]


async def test_nobody_waits_longer_than_the_queue_timeout() -> None:
    """Who has the only seat is told to use less; who has nothing is told that there is nothing."""
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [])] * 1000)
    tenants = [{"name": name, "keys": [key_line(key)]} for name, key in (("acme", KEY), ("other", "other-key"))]
    endpoint = {"max_in_flight": 1, "queue_timeout_s": 0.05, "min_workers": 1}
    async with running(runpod, endpoint=endpoint, tenants=tenants) as subject:
        first = subject.call(stream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run, subject.gateway.app)
            await anyio.sleep(0.02)
            expected = ((KEY, 429, "tenant_over_share"), ("other-key", 503, "server_is_overloaded"))
            for key, status, code in expected:
                second = subject.call(stream=True, key=key)
                await second.run(subject.gateway.app)
                assert (second.status, second.json["error"]["code"]) == (status, code)
                assert 1 <= int(second.headers["retry-after"]) <= 60
                assert "retry-after-ms" in second.headers
            first.leave()


async def test_the_next_endpoint_is_tried_when_nothing_was_started() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    runpod.answers = {"run": [httpx.ConnectError("refused")]}
    endpoints = [
        {"name": name, "id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k", "route": "job"}
        for name in ("first", "second")
    ]
    models = [{"id": "m", "endpoint": ["first", "second"]}]
    async with running(runpod, endpoints=endpoints, models=models) as subject:
        call = await subject.post(stream=True)
    assert call.headers["x-fairpod-endpoint"] == "second"
    assert content(call) == "Hello there"


async def test_a_cut_exchange_tells_its_client() -> None:
    async with running(FakeRunpod(pages=[("IN_PROGRESS", [EVENTS[1]]), *[("IN_PROGRESS", [])] * 1000])) as subject:
        call = subject.call(stream=True)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call.run, subject.gateway.app)
                await anyio.sleep(0.05)
                await subject.gateway.exchanges.drain(0)
        assert call.events[-1]["error"]["code"] == "server_is_overloaded"
        assert subject.runpod.running == {}
        refused = await subject.post()
        assert refused.status == 503


async def test_an_answer_that_was_cut_short_is_no_success() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS[:2]), ("COMPLETED", [])])
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello"
    assert "error" in call.events[-1]
    assert "[DONE]" not in call.events


async def test_an_answer_that_was_cut_short_is_completed_from_the_status() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS[:2]), ("COMPLETED", [])])
    runpod.status = {"status": "COMPLETED", "output": EVENTS, "executionTime": 5}
    async with running(runpod) as subject:
        call = await subject.post(stream=True)
    assert content(call) == "Hello there"
    assert call.events[-1] == "[DONE]"


async def test_an_answered_job_holds_its_seat_until_it_is_over_and_no_place_of_its_tenant() -> None:
    """A client may send its next request as soon as it was answered; that waits until the worker is free."""
    runpod = FakeRunpod(pages=list(PAGES))
    runpod.status = {"status": "IN_PROGRESS"}
    tenants = [{"name": "acme", "keys": [key_line(KEY)], "max_in_flight": 1}]
    async with running(runpod, tenants=tenants, endpoint={"max_in_flight": 1}) as subject:
        first = subject.call(stream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run, subject.gateway.app)
            with anyio.fail_after(5):
                while not first.is_complete:
                    await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            assert subject.held()["work held"] == {"acme": 1}
            second = subject.call(stream=True)
            tasks.start_soon(second.run, subject.gateway.app)
            await anyio.sleep(0.5)
            # It is not refused by its tenant's cap, and no second job runs beside the first.
            assert (subject.held()["work waiting"], runpod.count("run")) == ({"acme": 1}, 1)
        assert (first.status, second.status) == (200, 200)
        with anyio.fail_after(5):
            await subject.gateway.exchanges._services.jobs.flush()
    # A job that does not end after its answer is not left running.
    assert runpod.running == {}


async def test_an_accepted_job_is_cancelled_when_its_request_goes_elsewhere() -> None:
    runpod = FakeRunpod(pages=list(PAGES))
    runpod.answers = {"stream": [(429, b"")] * 10}
    endpoints = [
        {"name": name, "id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k", "route": "job"}
        | {"cold_start_timeout_s": 1}
        for name in ("first", "second")
    ]
    models = [{"id": "m", "endpoint": ["first", "second"]}]
    async with running(runpod, endpoints=endpoints, models=models) as subject:
        assert (await subject.post(stream=True)).status in {503, 504}
        await subject.gateway.exchanges._services.jobs.flush()
    assert runpod.count("run") == 2
    assert {job_id for operation, job_id in runpod.calls if operation == "cancel"} == {"job-1", "job-2"}
    assert runpod.running == {}


async def test_a_failed_job_is_followed_by_the_next_endpoint_and_a_faulty_request_is_not() -> None:
    endpoints = [
        {"name": name, "id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k", "route": "job"}
        for name in ("first", "second")
    ]
    models = [{"id": "m", "endpoint": ["first", "second"]}]
    for error, status, jobs in (("job timed out after 1 retries", 200, 2), ("vLLM returned HTTP 400: {}", 400, 1)):
        runpod = FakeRunpod(pages=list(PAGES))
        runpod.answers = {"stream": [(200, b'{"status":"FAILED","stream":[]}')]}
        runpod.status = {"status": "FAILED", "error": error}
        async with running(runpod, endpoints=endpoints, models=models) as subject:
            call = await subject.post(stream=True)
        assert call.status == status
        assert runpod.count("run") == jobs


async def test_what_a_job_cost_is_charged_to_the_endpoint_that_ran_it() -> None:
    entry = {"id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k"}
    endpoints = [{"name": "first", "route": "job", **entry}, {"name": "second", "route": "openai", **entry}]
    runpod = answering()
    runpod.answers = {"stream": [(200, b'{"status":"FAILED","stream":[]}')]}
    runpod.status = {"status": "FAILED", "error": "boom", "executionTime": 60_000, "delayTime": 5_000}
    async with running(runpod, endpoints=endpoints, models=[{"id": "m", "endpoint": ["first", "second"]}]) as subject:
        assert (await subject.post(stream=True)).status == 200
        rendered = subject.gateway._metrics.render()[0].decode()
    assert 'gateway_execution_seconds_total{endpoint="first",tenant="acme"} 60.0' in rendered
    assert 'gateway_execution_seconds_total{endpoint="second"' not in rendered
    # Each attempt keeps its own GPU time.
    assert 'gateway_gpu_seconds_total{endpoint="first",tenant="acme"}' in rendered
    assert 'gateway_gpu_seconds_total{endpoint="second",tenant="acme"}' in rendered
    assert 'gateway_upstream_delay_seconds_sum{endpoint="first"} 5.0' in rendered


async def test_a_connection_that_is_not_taken_is_tried_again() -> None:
    runpod = answering()
    runpod.answers = {"run": [httpx.ConnectError("refused"), httpx.ConnectError("refused")]}
    async with running(runpod) as subject:
        assert content(await subject.post(stream=True)) == "Hello there"
    assert runpod.count("run") == 3


async def test_a_sign_of_life_does_not_keep_a_request_from_the_next_endpoint() -> None:
    endpoints = [
        {"name": name, "id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k", "route": "job"}
        | {"max_in_flight": 1, "queue_timeout_s": 0.2, "min_workers": 1}
        for name in ("first", "second")
    ]
    models = [{"id": "m", "endpoint": ["first", "second"]}]
    async with running(
        answering(), endpoints=endpoints, models=models, intervals=KeepAliveIntervals(comment_s=0.05)
    ) as subject:
        gate = subject.gateway._upstreams["first"].gates.work
        async with gate.permit(tenant(name="other"), wait_s_max=1):
            call = await subject.post(stream=True)
    assert call.body.startswith(b": keep-alive")
    assert content(call) == "Hello there"


async def test_one_line_is_waited_in_once() -> None:
    runpod = FakeRunpod(pages=list(PAGES), health={"idle": 1})
    async with running(runpod, endpoint={"route": "auto", "max_in_flight": 1, "queue_timeout_s": 1.0}) as subject:
        await subject.post(stream=True)
        await anyio.sleep(0.02)
        upstream = subject.gateway._upstreams["chat"]
        assert upstream.workers.is_warm(subject.gateway._clock.monotonic_s())
        async with upstream.gates.work.permit(tenant(name="other"), wait_s_max=1):
            with anyio.fail_after(1.9):
                assert (await subject.post(stream=True)).status == 503


async def test_an_answer_in_one_piece_may_take_its_whole_execution_time() -> None:
    completion = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
    runpod = FakeRunpod(pages=[*[("IN_PROGRESS", [])] * 3, ("COMPLETED", [completion])])
    async with running(runpod, endpoint={"cold_start_timeout_s": 0.3}) as subject:
        assert (await subject.post()).status == 200


async def test_usage_without_a_count_is_settled_as_it_was_told() -> None:
    runpod = FakeRunpod(pages=[("COMPLETED", ["word " * 400])])
    tenants = [{"name": "acme", "keys": [key_line(KEY)], "tokens_per_minute": 10_000}]
    async with running(runpod, endpoint={"worker": "text"}, tenants=tenants) as subject:
        call = await subject.post()
        told = call.json["usage"]["total_tokens"]
        assert told > 400
        counted = sum(
            float(line.rsplit(" ", 1)[1])
            for line in subject.gateway._metrics.render()[0].decode().splitlines()
            if line.startswith("gateway_tokens_total{")
        )
        assert counted == told
        later = await subject.post()
        assert int(later.headers["x-ratelimit-remaining-tokens"]) <= 10_000 - told


async def test_a_bug_in_the_background_is_reported_and_survived() -> None:
    runpod = answering()
    runpod.answers = {"health": [RuntimeError("odd")], "cancel": [RuntimeError("odd")]}
    async with running(runpod, endpoint={"route": "auto"}) as subject:
        queue, upstream = subject.gateway._jobs._cancels, subject.gateway._upstreams["chat"]
        queue.add(upstream, left_job("job-x"))
        subject.gateway.exchanges._services.health.ask(upstream)
        for _ in range(3):
            assert (await subject.post(stream=True)).status == 200
        with anyio.fail_after(2):
            await queue.flush()
        assert b"gateway_bugs_total 2.0" in subject.gateway._metrics.render()[0]
        queue.add(upstream, left_job("job-y"))
        with anyio.fail_after(2):
            await queue.flush()
        assert ("cancel", "job-y") in runpod.calls


async def test_the_log_says_how_the_upstream_failed_and_quotes_nobody() -> None:
    runpod = FakeRunpod(pages=[("FAILED", [])])
    runpod.status = {"status": "FAILED", "error": "handler: the prompt was secret"}
    runpod.answers = {"run": [httpx.ConnectError("refused")] * 3}
    async with running(runpod) as subject:
        seen: list[str | None] = []

        def observe(event: Event) -> None:
            if isinstance(event, Settled):
                seen.append(event.error)

        services = subject.gateway.exchanges._services
        subject.gateway.exchanges._services = msgspec.structs.replace(services, observe=observe)
        await subject.post()
        await subject.post()
    assert seen == ["UnreachableError: ConnectError", "JobFailedError"]


async def test_an_observer_that_fails_breaks_nothing() -> None:
    async with running(answering()) as subject:
        subject.gateway._metrics._settle = lambda _: 1 / 0  # type: ignore[method-assign]
        call = await subject.post(stream=True)
        assert call.events[-1] == "[DONE]"
        assert subject.held() == {}


TELLINGS = [
    [event(id="first", delta={"role": "assistant", "content": ""}), event(id="first", delta={"content": "Hel"})],
    [event(id="second", delta={"role": "assistant", "content": ""}), event(id="second", delta={"content": "Hello"})],
    [event(id="second", finish_reason="stop"), "data: [DONE]\n\n"],
]


@pytest.mark.parametrize("page_outputs", [1, 6])
async def test_a_stream_that_begins_anew_ends_with_an_error_and_repeats_nothing(page_outputs: int) -> None:
    outputs = [output for telling in TELLINGS for output in telling]
    pages: list[Any] = [
        ("IN_PROGRESS", outputs[start : start + page_outputs]) for start in range(0, len(outputs), page_outputs)
    ]
    async with running(FakeRunpod(pages=[*pages, ("COMPLETED", [])])) as subject:
        call = await subject.post(stream=True)
        with anyio.fail_after(5):
            await subject.gateway.exchanges._services.jobs.flush()
    assert subject.held() == {}
    assert "Hello" not in content(call)
    assert call.json["error"] if call.status != 200 else call.events[-1]["error"]
    assert subject.runpod.running == {}


async def test_a_whole_answer_that_begins_anew_is_the_second_telling() -> None:
    outputs = [output for telling in TELLINGS for output in telling]
    async with running(FakeRunpod(pages=[("COMPLETED", outputs)])) as subject:
        call = await subject.post()
    assert call.json["choices"][0]["message"]["content"] == "Hello"


async def test_an_answer_took_as_long_as_its_client_waited_and_not_as_its_costs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    runpod = answering()
    # Runpod takes its time to account for it.
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod) as subject:
        begun_s = anyio.current_time()
        await subject.post(stream=True)
        run_s = anyio.current_time() - begun_s
    (line,) = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "exchange.settled" in line]
    assert runpod.count("status") == len(PAUSES_S)
    assert line["duration_s"] < run_s - 0.99 * sum(PAUSES_S)
