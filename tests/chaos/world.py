"""The world of a chaos round: clients, a proxy, the gateway, a proxy, the emulator; and what is left after one."""

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import msgspec

from gateway.emulator.app import build_emulator
from gateway.emulator.settings import EmulatorSettings
from gateway.observability.metrics_page import KEPT_S
from tests.chaos.homes import Home
from tests.chaos.proxy import CALM, Proxy
from tests.chaos.questions import RUNPOD_KEY, TENANT_KEYS
from tests.serving import serving
from tests.waiting import eventually_none

DEADLINE_S = 45.0
"""Of every client: longer than the gateway bears with one silent call, shorter than for ever."""
REST_S_MAX = 70.0
"""The longest rest of an endpoint that failed is a minute."""
_RUN_FAILED = re.compile(r'^gateway_upstream_requests_total\{.*operation="run",outcome="(?!ok).*\} (\d+)', re.MULTILINE)

Job = dict[str, Any]


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a round needs."""

    home: Home
    emulator_url: str
    front: Proxy
    back: Proxy
    at_rest: dict[str, int]

    async def set_faults(self, **faults: Any) -> None:
        """Switch the emulator's faults on; those not named are off."""
        await self._ask("PUT", f"{self.emulator_url}/emulator/faults", json=faults)

    async def metrics(self) -> str:
        """Return what Prometheus scrapes, from a page that is made after this call."""
        if self.home.gateway is None:
            await anyio.sleep(KEPT_S)
        else:
            self.home.gateway._page._kept.clear()
        return (await self._ask("GET", f"{self.home.url}/metrics")).text

    async def submissions_failed(self) -> int:
        """How many calls of /run did not go well so far, as the gateway counts them."""
        return sum(int(count) for count in _RUN_FAILED.findall(await self.metrics()))

    async def settle(self, failed_before: int) -> list[Job]:
        """Wait until nothing is held, and clear up; returns the jobs that run on because nobody knows of them.

        Raises:
            AssertionError: Something is held for good, or the gateway met a bug of its own.
        """
        await self.set_faults()
        await eventually_none(self._open_exchanges)
        for proxy in (self.front, self.back):
            proxy.brew(CALM, "")
            proxy.cut_all()
        failed = await self.submissions_failed() - failed_before
        await eventually_none(lambda: self._forgotten_jobs(failed))
        lost_jobs = await self._running_jobs()
        # A job that was lost keeps its seat until /health, or its ttl, says that it is over.
        await self._ask("POST", f"{self.emulator_url}/emulator/reset")
        await eventually_none(self._held_by_requests)
        await eventually_none(self._held_by_process)
        assert "gateway_bugs_total 0.0" in await self.metrics()
        await self._end_rests()
        await self._ask("POST", f"{self.emulator_url}/emulator/reset")
        return lost_jobs

    async def _end_rests(self) -> None:
        """See that no endpoint is still given a rest for what the last round did to it."""
        if self.home.gateway is not None:
            for upstream in self.home.gateway._upstreams.values():
                upstream._breaker.reset()
        else:
            await eventually_none(self._resting, within_s=REST_S_MAX)

    async def _resting(self) -> Any:
        """The endpoints and tenants that are given a rest: no metric shows that of one tenant, so each asks."""
        endpoints = re.findall(r'^gateway_endpoint_down\{endpoint="(.*)"\}', await self.metrics(), re.MULTILINE)
        resting: list[tuple[str, str]] = []
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            for name, (tenant, key) in itertools.product(endpoints, TENANT_KEYS.items()):
                body = {"model": f"m-{name}", "messages": [{"role": "user", "content": "count to 1"}]}
                headers = {"authorization": f"Bearer {key}"}
                answer = await client.post(f"{self.home.url}/v1/chat/completions", json=body, headers=headers)
                if answer.status_code == 503 and "temporarily excluded" in answer.text:
                    resting.append((name, tenant))
        return resting or None

    async def _open_exchanges(self) -> Any:
        return (await self._ask("GET", f"{self.home.url}/readyz")).json()["exchanges"] or None

    async def _held_by_requests(self) -> Any:
        exchanges = (await self._ask("GET", f"{self.home.url}/readyz")).json()["exchanges"]
        held = re.findall(
            r"^gateway_(?:queued|inflight)_requests\{.*\} (?!0\.0).*$", await self.metrics(), re.MULTILINE
        )
        return (exchanges, held) if exchanges or held else None

    async def _forgotten_jobs(self, submissions_failed: int) -> Any:
        """Jobs that run although the gateway could have ended them, or of the OpenAI route, which end by themselves.

        A job whose submission was answered badly, or not at all, is nobody's; so is one whose good answer got lost on
        the way, of which there can be as many as the gateway missed.
        """
        calls = (await self._ask("GET", f"{self.emulator_url}/emulator/calls")).json()
        spoken_of = {call["job_id"] for call in calls if call["operation"] != "run"}
        answers = {call["job_id"]: call["status"] == 200 for call in calls if call["operation"] == "run"}
        missed = submissions_failed - sum(call["operation"] == "run" and call["status"] != 200 for call in calls)
        running = [job["id"] for job in await self._running_jobs()]
        forgotten = [each for each in running if each in spoken_of]
        silent = [each for each in running if each not in spoken_of and answers.get(each, True)]
        return (forgotten, silent, missed) if forgotten or len(silent) > max(0, missed) else None

    async def _held_by_process(self) -> Any:
        # Kept connections are no leak: cut, they have to go, and so do those that what was cut short opens anew.
        self.front.cut_all()
        self.back.cut_all()
        await asyncio.sleep(0.02)
        held = self.home.held()
        return {name: (held[name], rest) for name, rest in self.at_rest.items() if held[name] > rest} or None

    async def _running_jobs(self) -> list[Job]:
        jobs = (await self._ask("GET", f"{self.emulator_url}/emulator/jobs")).json()
        return [job for job in jobs if job["state"] in {"IN_QUEUE", "IN_PROGRESS"}]

    @staticmethod
    async def _ask(method: str, url: str, **options: Any) -> httpx.Response:
        """Past the proxies, over a connection of its own."""
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            return (await client.request(method, url, **options)).raise_for_status()


@contextlib.asynccontextmanager
async def world(
    live: Callable[[str], contextlib.AbstractContextManager[Home]], **settings: Any
) -> AsyncIterator[World]:
    """A world whose gateway lives there, before an emulator with these settings."""
    emulator = EmulatorSettings(api_key=RUNPOD_KEY, workers=2, token_interval_s=0.004, **settings)
    async with Proxy() as front, Proxy() as back:
        with serving(build_emulator(emulator)) as back.target, live(back.url) as home:
            front.target = home.url
            made = World(home=home, emulator_url=back.target, front=front, back=back, at_rest={})
            # The first question opens what stays open.
            await made.metrics()
            yield msgspec.structs.replace(made, at_rest=home.held())
