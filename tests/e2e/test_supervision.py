"""The server's own background tasks, killed once, and a task that cannot be kept running."""

import os
import pathlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest
import yaml

from gateway.app import Gateway
from gateway.commands.config_reload import ConfigReloader
from gateway.config.config_file import ConfigFile
from gateway.config.keys import key_line
from gateway.connection_limits import ClientLimits
from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from gateway.file_descriptors import DescriptorBudget
from gateway.server.run import Address, _serve, listen, serve
from tests.fakes.killable import KillableSupervisor
from tests.redis_server import RedisServer
from tests.serving import serving
from tests.stacks import KEY, RUNPOD_KEY, config_of
from tests.subject import CHAT
from tests.virtual_time import LoopClock
from tests.waiting import eventually_here

pytestmark = pytest.mark.server

LIMITS = ClientLimits(head_bytes_max=32_768, head_s=0.2, read_s=60, write_s=60, connections_max=100)
ROOM = DescriptorBudget(clients=LIMITS, operators=LIMITS, reserve=64, is_limited=False)
OF_THE_SERVER = ["signals", "config", "connections_0", "connections_1"]
OF_THE_GATEWAY = {"keepalive", "review", "deadlines", "idempotency", "health", "cancels", "journal", "leases"}


@pytest.fixture
def emulator_url() -> Iterator[str]:
    with serving(build_emulator(EmulatorSettings(api_key=RUNPOD_KEY))) as url:
        yield url


class Serving:
    """`serve` in this process, with a supervisor whose tasks can be killed."""

    def __init__(self, directory: pathlib.Path, emulator_url: str, redis: RedisServer) -> None:
        self.file = directory / "fairpod.yaml"
        state = {"kind": "redis", "url": redis.url, "prefix": directory.name}
        self.raw = config_of(emulator_url, state=state, drain_s=1)
        self.write()
        file = ConfigFile(self.file, {})
        self.gateway = Gateway(file.read(), replica="here")
        self.supervisor = KillableSupervisor(LoopClock(), self.gateway._observe)
        self.gateway.supervisor = self.supervisor
        self.beside = ConfigReloader(self.gateway, file).run

    def write(self, **sections: Any) -> None:
        self.file.write_text(yaml.safe_dump({**self.raw, **sections}))

    async def run(self) -> None:
        with listen("127.0.0.1", 0) as main, listen("127.0.0.1", 0) as metrics:
            self.ports = [each.getsockname()[1] for each in (main, metrics)]
            listeners = [(self.gateway.app, main), (self.gateway.metrics_app, metrics)]
            await _serve(self.gateway, listeners, ROOM, self.beside)

    async def proof(self, name: str, http: httpx.AsyncClient) -> None:
        """Wait until what this task of the server does was done."""
        match name:
            case "config":
                tenant = f"new-{self.supervisor.names.count(name)}"
                self.write(tenants=[*self.raw["tenants"], {"name": tenant, "keys": [key_line(tenant)]}])
                os.kill(os.getpid(), signal.SIGHUP)
                await self._served(http, tenant)
            case "connections_0" | "connections_1":
                stream = await anyio.connect_tcp("127.0.0.1", self.ports[int(name[-1])])
                async with stream:
                    # Cut off, as its headers do not come.
                    await stream.send(b"GET / HTTP/1.1\r\n")
                    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):  # noqa: PT012 - a 408, and then the end.
                        while True:
                            await stream.receive()
            case _:
                # That of signals is proved by the end of the test.
                assert name == "signals"
        await self._served(http, KEY)

    async def _served(self, http: httpx.AsyncClient, key: str) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "count to 3"}]}
        url = f"http://127.0.0.1:{self.ports[0]}{CHAT}"

        async def status() -> int:
            return (await http.post(url, json=body, headers={"authorization": f"Bearer {key}"})).status_code

        while await status() != 200:
            await anyio.sleep(0.05)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def test_everything_works_again_after_the_death_of_a_task_of_the_server(
    tmp_path: pathlib.Path, emulator_url: str, redis: RedisServer, http: httpx.AsyncClient
) -> None:
    served = Serving(tmp_path, emulator_url, redis)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(served.run)
        await eventually_here(lambda: set(served.supervisor.names) > OF_THE_GATEWAY)
        assert set(served.supervisor.names) == {*OF_THE_SERVER, *OF_THE_GATEWAY}
        await served._served(http, KEY)
        for name in served.supervisor.names:
            if name not in OF_THE_GATEWAY:
                print(name)
                served.supervisor.kill(name)
                await eventually_here(lambda name=name: served.supervisor.runs[name] > 1)
                with anyio.fail_after(30):
                    await served.proof(name, http)
        metrics = (await http.get(f"http://127.0.0.1:{served.ports[1]}/metrics")).text
        assert f"gateway_bugs_total {len(OF_THE_SERVER)}.0" in metrics
        # The task of the signals, which was killed as well, lets it drain and end.
        os.kill(os.getpid(), signal.SIGTERM)
    assert served.gateway.exchanges.is_draining


def test_a_process_that_cannot_keep_a_task_running_drains_and_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch, emulator_url: str
) -> None:
    from gateway.config.loader import parse_config

    monkeypatch.setattr("gateway.restart_policy.PAUSE_S_FIRST", 0.001)
    gateway = Gateway(parse_config(config_of(emulator_url, drain_s=1), {}))

    async def fails() -> None:
        await anyio.sleep(0.01)
        raise ZeroDivisionError

    monkeypatch.setattr(gateway.exchanges, "_review", fails)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(host="127.0.0.1", port=0, metrics_port=None, inherited=os.dup(listener.fileno()))
        assert serve(gateway, address, room=ROOM, beside=None) == 1
    assert gateway.supervisor.given_up == "review"
