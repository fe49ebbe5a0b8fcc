"""Caps on requests are asked before a body is read, and a place in flight is given back on every way out."""

import json
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from gateway.config.keys import key_line
from gateway.fairshare.quota import TenantQuota
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY
from tests.subject import CHAT, PAGES, Subject, answering, running

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
SLOW: list[Any] = [PAGES[0], *[("IN_PROGRESS", [])] * 200, *PAGES[1:]]


class SendingCall(AsgiCall):
    """A client whose body is told piece by piece, by the test; how many pieces were read is counted."""

    def __init__(self, *pieces: dict[str, Any], path: str = CHAT, headers: dict[str, str] | None = None) -> None:
        super().__init__(path, b"", headers=headers)
        self.pieces = list(pieces)
        self.reads = 0

    async def receive(self) -> dict[str, Any]:
        self.reads += 1
        if not self.pieces:
            await anyio.sleep_forever()
        return self.pieces.pop(0)


def piece(body: bytes, *, more_body: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more_body}


LEFT = {"type": "http.disconnect"}


def capped(**caps: int) -> list[dict[str, Any]]:
    return [{"name": "acme", "keys": [key_line(KEY)], **caps}]


def quota_of(subject: Subject) -> TenantQuota:
    return subject.gateway._keys.quotas["acme"]


async def test_a_request_beyond_the_requests_of_a_minute_is_refused_unread() -> None:
    async with running(answering(), tenants=capped(requests_per_minute=1)) as subject:
        await subject.post(stream=True)
        call = SendingCall(piece(b"x" * 9_000_000))
        with anyio.fail_after(5):
            await call.run(subject.gateway.app)
        assert (call.status, call.json["error"]["code"]) == (429, "rate_limit_exceeded")
        assert call.headers["x-ratelimit-remaining-requests"] == "0"
        assert call.reads == 0


async def test_a_request_beyond_those_in_flight_is_refused_unread() -> None:
    async with (
        running(FakeRunpod(pages=SLOW), tenants=capped(max_in_flight=1)) as subject,
        anyio.create_task_group() as tasks,
    ):
        first = subject.call(stream=True)
        tasks.start_soon(first.run, subject.gateway.app)
        await anyio.sleep(0.02)
        call = SendingCall(piece(BODY))
        await call.run(subject.gateway.app)
        assert (call.status, call.json["error"]["code"], call.reads) == (429, "rate_limit_exceeded", 0)
        first.leave()


async def test_a_tenant_without_tokens_is_refused_unread_and_told_its_answers_again() -> None:
    async with running(answering(), tenants=capped(tokens_per_minute=60)) as subject:
        key = {"idempotency-key": "k"}
        await subject.post(stream=True, headers=key)
        now_s = subject.gateway._clock.monotonic_s()
        quota_of(subject).settle(0, 200, now_s)
        for headers in ({}, {"idempotency-key": "new"}):
            call = SendingCall(piece(BODY), headers=headers)
            await call.run(subject.gateway.app)
            assert (call.status, call.json["error"]["type"], call.reads) == (429, "tokens", 0)
        again = await subject.post(stream=True, headers=key)
        assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")


async def test_a_request_that_is_refused_for_tokens_counts_as_one_and_keeps_no_place() -> None:
    async with running(answering(), tenants=capped(tokens_per_minute=60, requests_per_minute=3)) as subject:
        quota_of(subject).settle(0, 200, subject.gateway._clock.monotonic_s())
        calls = [await subject.post(stream=True) for _ in range(5)]
        assert [call.json["error"]["type"] for call in calls] == ["tokens"] * 3 + ["requests"] * 2
        assert [call.headers["x-ratelimit-remaining-requests"] for call in calls] == ["2", "1", "0", "0", "0"]
        assert (quota_of(subject).use().requests, quota_of(subject).use().in_flight) == (3, 0)


async def test_a_body_that_is_being_sent_is_in_flight() -> None:
    async with (
        running(answering(), tenants=capped(max_in_flight=1)) as subject,
        anyio.create_task_group() as tasks,
    ):
        sending = SendingCall(piece(BODY[:10], more_body=True))
        tasks.start_soon(sending.run, subject.gateway.app)
        await anyio.sleep(0.02)
        assert (await subject.post(stream=True)).status == 429
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (SendingCall(piece(BODY[:10], more_body=True), LEFT), 400),
        (SendingCall(piece(b"{")), 400),
        (SendingCall(piece(b"x" * 30_000)), 413),
        (SendingCall(piece(BODY.replace(b'"m"', b'"nope"'))), 404),
        (SendingCall(piece(BODY), path="/v2/nope/openai/v1/chat/completions"), 404),
        (SendingCall(piece(BODY), headers={"idempotency-key": "two words"}), 400),
        (SendingCall(piece(BODY), headers={"content-encoding": "nope"}), 415),
    ],
)
async def test_a_request_that_cannot_be_served_counts_and_gives_its_place_back(call: SendingCall, status: int) -> None:
    tenants = capped(max_in_flight=1, requests_per_minute=10)
    async with running(answering(), tenants=tenants, body_bytes_max=20_000) as subject:
        with anyio.fail_after(5):
            await call.run(subject.gateway.app)
        assert call.status == status
        assert (quota_of(subject).use().in_flight, quota_of(subject).use().requests) == (0, 1)
        assert (await subject.post(stream=True)).status == 200


async def test_a_cancelled_request_gives_its_place_back() -> None:
    async with running(answering(), tenants=capped(max_in_flight=1)) as subject:
        sending = SendingCall(piece(BODY[:10], more_body=True))
        with anyio.move_on_after(0.1):
            await sending.run(subject.gateway.app)
        assert quota_of(subject).use().in_flight == 0
        assert (await subject.post(stream=True)).status == 200


async def test_a_draining_process_keeps_no_place() -> None:
    async with running(answering(), tenants=capped(max_in_flight=1)) as subject:
        subject.gateway.exchanges.is_draining = True
        assert (await subject.post(stream=True)).status == 503
        assert quota_of(subject).use().in_flight == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_repeats_of_a_key_count_as_requests(stream: bool) -> None:
    runpod = answering()
    async with running(runpod, tenants=capped(requests_per_minute=2)) as subject:
        calls = [await subject.post(stream=stream, headers={"idempotency-key": "k"}) for _ in range(40)]
        assert [call.status for call in calls] == [200, 200, *[429] * 38]
        assert calls[1].headers["idempotent-replayed"] == "true"
        assert runpod.count("run") == 1
        assert quota_of(subject).use().in_flight == 0


async def test_a_repeat_is_in_flight_while_it_is_told_the_answer() -> None:
    async with (
        running(FakeRunpod(pages=SLOW), tenants=capped(max_in_flight=2)) as subject,
        anyio.create_task_group() as tasks,
    ):
        calls = [subject.call(stream=True, headers={"idempotency-key": "k"}) for _ in range(2)]
        for call in calls:
            tasks.start_soon(call.run, subject.gateway.app)
        await anyio.sleep(0.02)
        assert quota_of(subject).use().in_flight == 2
        assert (await subject.post(stream=True)).status == 429
        calls[1].leave()
        await anyio.sleep(0.02)
        assert quota_of(subject).use().in_flight == 1
        tasks.cancel_scope.cancel()


async def left(subject: Subject) -> AsgiCall:
    """One that is left by its client, and goes on for a while."""
    call = subject.call(stream=True, headers={"idempotency-key": "k"})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call.run, subject.gateway.app)
        await anyio.sleep(0.02)
        call.leave()
    return call


async def test_a_client_that_left_and_comes_again_has_the_place_that_its_answer_holds() -> None:
    runpod = FakeRunpod(pages=[*SLOW[:10], *PAGES[1:]])
    async with running(runpod, tenants=capped(max_in_flight=1, requests_per_minute=4)) as subject:
        await left(subject)
        assert quota_of(subject).use().in_flight == 1
        assert (await subject.post(stream=True)).status == 429
        again = await subject.post(stream=True, headers={"idempotency-key": "k"})
        assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")
        assert runpod.count("run") == 1
        assert (quota_of(subject).use().in_flight, quota_of(subject).use().requests) == (0, 2)


async def test_one_request_alone_takes_over_a_place() -> None:
    async with (
        running(FakeRunpod(pages=SLOW), tenants=capped(max_in_flight=1)) as subject,
        anyio.create_task_group() as tasks,
    ):
        await left(subject)
        sending = SendingCall(piece(BODY[:10], more_body=True), headers={"idempotency-key": "k"})
        tasks.start_soon(sending.run, subject.gateway.app)
        await anyio.sleep(0.02)
        assert quota_of(subject).use().in_flight == 1
        assert (await subject.post(stream=True, headers={"idempotency-key": "k"})).status == 429
        tasks.cancel_scope.cancel()


async def test_a_client_that_comes_again_too_often_is_refused_and_keeps_no_place() -> None:
    async with running(FakeRunpod(pages=SLOW), tenants=capped(max_in_flight=1, requests_per_minute=1)) as subject:
        await left(subject)
        again = await subject.post(stream=True, headers={"idempotency-key": "k"})
        assert (again.status, again.json["error"]["code"]) == (429, "rate_limit_exceeded")
        await anyio.sleep(30)
        # Nobody came back for it, and it was given up.
        assert quota_of(subject).use().in_flight == 0


async def test_a_place_that_a_refused_retry_took_over_is_there_for_the_next_one() -> None:
    caps = capped(max_in_flight=1, requests_per_minute=60)
    async with running(FakeRunpod(pages=[*SLOW[:30], *PAGES[1:]]), tenants=caps) as subject:
        await left(subject)
        now_s = subject.gateway._clock.monotonic_s()
        for _ in range(59):
            quota_of(subject).count(now_s)
        repeated = {"idempotency-key": "k"}
        refused = [await subject.post(stream=True, headers=repeated) for _ in range(2)]
        assert [(call.status, call.json["error"]["type"]) for call in refused] == [(429, "requests")] * 2
        # Another body is refused when it was read.
        await anyio.sleep(2)
        other = [{"role": "user", "content": "Bye"}]
        assert (await subject.post(stream=True, headers=repeated, messages=other)).status == 422
        again = await subject.post(stream=True, headers=repeated)
        assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")
        assert subject.runpod.count("run") == 1
        assert quota_of(subject).use().in_flight == 0


async def test_retry_after_for_those_in_flight_is_how_long_requests_take() -> None:
    runpod = FakeRunpod(pages=[PAGES[0], *[("IN_PROGRESS", [])] * 40, *PAGES[1:]])
    async with (
        running(runpod, tenants=capped(max_in_flight=1)) as subject,
        anyio.create_task_group() as tasks,
    ):
        first = subject.call(stream=True)
        began_at_s = anyio.current_time()
        await first.run(subject.gateway.app)
        took_s = anyio.current_time() - began_at_s
        second = subject.call(stream=True)
        tasks.start_soon(second.run, subject.gateway.app)
        await anyio.sleep(2)
        refused = await subject.post(stream=True)
        told_s = int(refused.headers["retry-after-ms"]) / 1000
        assert told_s == pytest.approx(took_s - 2, abs=0.5)
        await anyio.sleep(told_s + 0.5)
        assert second.is_complete
