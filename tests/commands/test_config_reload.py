"""Another configuration is taken while requests are served: by the gateway, and by whoever reads the file."""

import contextlib
import os
import pathlib
import signal
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
import yaml

from gateway.app import Gateway
from gateway.commands.config_reload import ConfigReloader
from gateway.config.config_file import ConfigFile
from gateway.config.keys import key_line
from gateway.config.loader import ConfigError, parse_config
from gateway.events import ConfigRead, Event, Reload
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY, config_of
from tests.subject import PAGES, Subject, answering, running

ACME = {"name": "acme", "keys": [key_line(KEY)]}
BETA = {"name": "beta", "keys": [key_line("fp-beta")]}


def raw(**sections: Any) -> dict[str, Any]:
    return config_of("http://127.0.0.1:1", **sections)


def take(subject: Subject, **sections: Any) -> None:
    subject.gateway.take(parse_config(raw(**sections), {}))


def sleepy() -> FakeRunpod:
    """One whose jobs run until it is told to go on."""
    return FakeRunpod(pages=[*PAGES[:2], *[("IN_PROGRESS", [])] * 10_000])


async def start(subject: Subject, tasks: Any, **asked: Any) -> AsgiCall:
    """A stream whose first output has come."""
    call = subject.call(stream=True, **asked)
    begun = anyio.Event()
    call.on_send = begun.set
    tasks.start_soon(call.run, subject.gateway.app)
    with anyio.fail_after(5):
        await begun.wait()
    return call


async def test_a_revoked_key_stops_at_once_and_what_runs_goes_on() -> None:
    runpod = sleepy()
    async with running(runpod, tenants=[ACME, BETA]) as subject, anyio.create_task_group() as tasks:
        call = await start(subject, tasks, key="fp-beta")
        take(subject, tenants=[ACME, {**BETA, "keys": [key_line("fp-new")]}])
        refused = subject.call(key="fp-beta")
        await refused.run(subject.gateway.app)
        assert refused.status == 401
        runpod.pages = list(PAGES)
        fresh = subject.call(key="fp-new", stream=True)
        with anyio.fail_after(5):
            await fresh.run(subject.gateway.app)
        assert fresh.status == 200
    assert call.events[-1] == "[DONE]"
    assert subject.held() == {}


async def test_the_requests_of_a_tenant_that_is_taken_out_end_normally() -> None:
    runpod = sleepy()
    async with running(runpod, tenants=[ACME, {**BETA, "max_in_flight": 1}]) as subject:
        async with anyio.create_task_group() as tasks:
            call = await start(subject, tasks, key="fp-beta")
            take(subject)
            listed = subject.call(key="fp-beta")
            await listed.run(subject.gateway.app)
            assert listed.status == 401
            # Put back, it does not begin anew: its one request is still there.
            take(subject, tenants=[ACME, {**BETA, "max_in_flight": 1}])
            capped = subject.call(key="fp-beta")
            await capped.run(subject.gateway.app)
            assert capped.status == 429
            runpod.pages = list(PAGES)
        assert call.events[-1] == "[DONE]"
    assert subject.held() == {}


async def test_caps_change_for_a_tenant_that_stays_and_its_use_of_them_does_not() -> None:
    async with running(answering(), tenants=[{**ACME, "requests_per_minute": 2}]) as subject:
        for _ in range(2):
            assert (await subject.post(stream=True)).status == 200
        assert (await subject.post(stream=True)).status == 429
        take(subject, tenants=[{**ACME, "requests_per_minute": 3}])
        still = await subject.post(stream=True)
        assert (still.status, still.headers["x-ratelimit-limit-requests"]) == (429, "3")
        take(subject, tenants=[{**ACME, "requests_per_minute": 60_000}])
        await anyio.sleep(0.01)
        assert (await subject.post(stream=True)).status == 200


async def test_models_and_allow_lists_come_and_go() -> None:
    async with running(answering()) as subject:
        assert (await subject.post(model="new", stream=True)).status == 404
        take(subject, models=[{"id": "new", "endpoint": "chat", "upstream": "org/new"}])
        assert (await subject.post(model="new", stream=True)).status == 200
        assert subject.runpod.bodies[-1]["input"]["openai_input"]["model"] == "org/new"
        assert (await subject.post(model="m", stream=True)).status == 404
        take(subject, tenants=[{**ACME, "models": ["org/with-slash"]}])
        assert (await subject.post(model="m", stream=True)).status == 403


async def test_a_guest_comes_and_goes() -> None:
    async with running(answering()) as subject:
        for guest, status in ((None, 401), ({"weight": 0.5}, 200), (None, 401)):
            take(subject, guest=guest)
            call = subject.call(key="nobody's", stream=True)
            await call.run(subject.gateway.app)
            assert call.status == status


async def test_bodies_may_be_as_large_as_the_new_file_says() -> None:
    async with running(answering()) as subject:
        take(subject, body_bytes_max=1024)
        assert (await subject.post(stream=True, user="x" * 1024)).status == 413
        take(subject)
        assert (await subject.post(stream=True, user="x" * 1024)).status == 200


async def test_a_weight_counts_for_those_who_wait_already() -> None:
    tenants = [{**ACME, "weight": 1}, {**BETA, "weight": 1}]
    runpod = sleepy()
    async with running(runpod, tenants=tenants, endpoint={"max_in_flight": 2}) as subject:
        work = subject.gateway._upstreams["chat"].gates.work
        async with anyio.create_task_group() as tasks:
            for key in (KEY, "fp-beta"):
                await start(subject, tasks, key=key)
            for key in (KEY, "fp-beta"):
                tasks.start_soon(subject.call(stream=True, key=key).run, subject.gateway.app)
            with anyio.fail_after(5):
                while work.waiting != {"acme": 1, "beta": 1}:
                    await anyio.sleep(0.001)
            take(subject, tenants=[{**ACME, "weight": 1}, {**BETA, "weight": 9}], endpoint={"max_in_flight": 2})
            gates = subject.gateway._upstreams["chat"].gates
            assert work.fair_seats() == {"acme": pytest.approx(0.2), "beta": pytest.approx(1.8)}
            # Requests that came before go on polling, and carry the old weight along.
            await anyio.sleep(0.05)
            assert {gate._queue._accounts["beta"].weight for gate in gates.calls.values() if gate._queue._accounts} == {
                9
            }
            runpod.pages = list(PAGES)
    assert subject.held() == {}


async def test_more_seats_are_filled_at_once_and_calls_go_out_with_the_new_key() -> None:
    runpod = sleepy()
    sent: list[str] = []
    handle = runpod.handle_async_request

    async def note_key(request: Any) -> Any:
        sent.append(request.headers["authorization"])
        return await handle(request)

    runpod.handle_async_request = note_key  # type: ignore[method-assign]
    async with running(runpod, endpoint={"max_in_flight": 1}) as subject, anyio.create_task_group() as tasks:
        await start(subject, tasks)
        tasks.start_soon(subject.call(stream=True).run, subject.gateway.app)
        await anyio.sleep(0.02)
        work = subject.gateway._upstreams["chat"].gates.work
        assert (work.held, work.waiting) == ({"acme": 1}, {"acme": 1})
        take(subject, endpoint={"max_in_flight": 2, "api_key": "rpa_rotated"})
        assert (work.held, work.waiting) == ({"acme": 2}, {})
        del sent[:]
        await anyio.sleep(0.05)
        # One call may have been under way.
        assert set(sent[1:]) == {"Bearer rpa_rotated"}
        runpod.pages = list(PAGES)
    assert subject.held() == {}


async def test_shorter_timeouts_end_nothing_that_began_under_longer_ones() -> None:
    runpod = sleepy()
    async with running(runpod) as subject:
        async with anyio.create_task_group() as tasks:
            call = await start(subject, tasks)
            take(subject, endpoint={"execution_timeout_s": 0.001, "cold_start_timeout_s": 0.001})
            await anyio.sleep(0.05)
            runpod.pages = list(PAGES)
        assert call.events[-1] == "[DONE]"
    assert subject.held() == {}


async def test_the_caps_of_a_tenant_that_comes_hold_over_all_replicas() -> None:
    state = {"kind": "redis", "url": "redis://127.0.0.1:1"}
    gateway = Gateway(parse_config(raw(state=state), {}), transport=answering())
    gateway.take(parse_config(raw(state=state, tenants=[ACME, {**BETA, "max_in_flight": 3}]), {}))
    gateway._keys.quotas["beta"].enter(gateway._clock.monotonic_s())
    assert gateway._agent is not None
    assert gateway._agent._report().quotas["beta"].in_flight == 1


async def test_a_file_that_needs_a_restart_is_refused_and_nothing_of_it_is_taken() -> None:
    async with running(answering()) as subject:
        with pytest.raises(ConfigError) as caught:
            take(subject, tenants=[BETA], listen={"port": 9}, drain_s=1, endpoint={"worker": "text"})
        assert {problem.path for problem in caught.value.problems} == {"listen.port", "endpoints[chat].worker"}
        assert (await subject.post(stream=True)).status == 200
        assert subject.gateway._config.drain_s == 30


@contextlib.asynccontextmanager
async def reading(subject: Subject, file: ConfigFile) -> AsyncIterator[list[ConfigRead]]:
    """With the file being looked after; yields what becomes of it."""
    told: list[ConfigRead] = []
    observe = subject.gateway._observe

    def note(event: Event) -> None:
        if isinstance(event, ConfigRead):
            told.append(event)
        observe(event)

    subject.gateway._observe = note
    file.read()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ConfigReloader(subject.gateway, file).run)
        await anyio.wait_all_tasks_blocked()
        yield told
        tasks.cancel_scope.cancel()


async def until(told: list[ConfigRead], count: int) -> ConfigRead:
    with anyio.fail_after(15):
        while len(told) < count:
            await anyio.sleep(0.005)
    return told[-1]


async def test_a_signal_has_the_file_read_and_a_bad_one_leaves_the_running_one(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(raw()))
    async with running(answering()) as subject, reading(subject, ConfigFile(file, {})) as told:
        os.kill(os.getpid(), signal.SIGHUP)
        assert (await until(told, 1)).outcome is Reload.UNCHANGED
        file.write_text(yaml.safe_dump(raw(tenants=[BETA])))
        os.kill(os.getpid(), signal.SIGHUP)
        taken = await until(told, 2)
        assert (taken.outcome, taken.changes) == (Reload.TAKEN, ["tenants[acme] removed", "tenants[beta] added"])
        for bad, problem in (("tenants: [", "is not valid YAML"), ("[" * 2000, "is nested too deeply")):
            file.write_text(bad)
            os.kill(os.getpid(), signal.SIGHUP)
            refused = await until(told, len(told) + 1)
            assert refused.outcome is Reload.REFUSED
            assert problem in refused.problems[0]
        assert (await subject.post(stream=True)).status == 401
        assert "gateway_config_last_reload_successful 0.0" in subject.gateway._metrics.render("")[0].decode()


async def test_a_changed_file_is_taken_without_a_signal_and_a_bad_one_refused_once(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(raw()))
    async with running(answering()) as subject, reading(subject, ConfigFile(file, {})) as told:
        file.write_text(yaml.safe_dump(raw(listen={"port": 1})))
        refused = await until(told, 1)
        assert (refused.outcome, refused.problems) == (Reload.REFUSED, ["listen.port: changed: requires a restart"])
        file.write_text(yaml.safe_dump(raw(drain_s=3)))
        taken = await until(told, 2)
        assert (taken.outcome, taken.changes) == (Reload.TAKEN, ["drain_s changed"])


class _Unforeseen(ConfigFile):
    """A file that fails in a way that nobody thought of, once it is read again."""

    _is_first = True

    def read(self) -> Any:
        if self._is_first:
            self._is_first = False
            return super().read()
        raise ValueError("with a secret in it")


async def test_a_bug_of_ours_is_counted_and_ends_nothing(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(raw()))
    async with running(answering()) as subject, reading(subject, _Unforeseen(file, {})) as told:
        for count in (1, 2):
            os.kill(os.getpid(), signal.SIGHUP)
            refused = await until(told, count)
            assert (refused.outcome, refused.problems) == (Reload.REFUSED, ["cannot be read: ValueError"])
        assert "gateway_bugs_total 2.0" in subject.gateway._metrics.render("")[0].decode()


async def test_a_file_that_is_being_written_is_read_when_it_is_whole(tmp_path: pathlib.Path) -> None:
    """Half of it is a whole configuration too: one without the last tenant."""
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(raw()))
    read = ConfigFile(file, {})
    read.read()
    async with running(answering()) as subject:
        reloading = ConfigReloader(subject.gateway, read)
        whole = yaml.safe_dump(raw(tenants=[ACME, BETA]))
        half = yaml.safe_dump(raw(tenants=[ACME]))

        async def write() -> None:
            for number in range(8):
                file.write_text(f"{half}\n# {number}\n")
                await anyio.sleep(0.2)
            file.write_text(whole)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            await reloading._settle()
        assert read.read().tenants == parse_config(yaml.safe_load(whole), {}).tenants
