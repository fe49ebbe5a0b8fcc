"""The composition root: the only module that knows every other."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx
from litestar import Litestar
from litestar.types import ASGIApp

from gateway import __version__
from gateway.admission.capacity import Capacities, StaticCapacities
from gateway.admission.gates import CallBudgets, EndpointGates
from gateway.admission.lease_agent import LeaseAgent
from gateway.api.answer_response import Rhythm
from gateway.api.auth import Key, KeyRing
from gateway.api.completions import Completions
from gateway.api.models import Models
from gateway.api.openapi import openapi_route
from gateway.api.operations import Readiness, metrics_route, operation_routes
from gateway.api.router import build_http
from gateway.api.unknown import unknown_route
from gateway.clock import Clock, SystemClock
from gateway.config.domain_of import endpoint_of, model_of, tenant_of, unix_s
from gateway.config.reading import ConfigError, Problem, key_digest
from gateway.config.sections import Config, State
from gateway.config.sections import Traces as TracesSection
from gateway.domain import Endpoint
from gateway.exchange.catalogue import Catalogue
from gateway.exchange.events import Broke, Event, Observer, StateStoreChanged
from gateway.exchange.exchanges import Exchanges
from gateway.exchange.health_watch import HealthWatch
from gateway.exchange.journal import JournalStore
from gateway.exchange.open_jobs import OpenJobs
from gateway.exchange.order import Means
from gateway.exchange.upstream import Upstream
from gateway.observability.logs import EventLog
from gateway.observability.metrics import Metrics, Reading
from gateway.upstream.client import EndpointClient, make_transport

if TYPE_CHECKING:
    from gateway.observability.traces import Traces


class Gateway:
    """One gateway process: what `serve` runs and drains."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        rhythm: Rhythm | None = None,
        replica: str = "",
    ) -> None:
        """`replica` names this process among those that share a store: the same after a restart."""
        self._config = config
        self._rhythm = rhythm or Rhythm(stall_s=config.clients.write_timeout_s)
        self._clock = clock or SystemClock()
        self._transport = transport or make_transport()
        names = [section.name for section in config.endpoints]
        self._metrics = Metrics(version=__version__, read=self._read, endpoints=names)
        self.log = EventLog()
        # Begins with the time, so that a process can be told from the one before it.
        self._incarnation = f"{int(self._clock.unix_s() * 1000):015}-{secrets.token_hex(4)}"
        self._traces = self._collector(config.traces)
        observers = [self._metrics.observe, self.log.observe, *([self._traces.observe] if self._traces else [])]
        self._observe = _fan_out(observers, self.log)
        self._agent = self._lease_agent(config.state, replica)
        self._capacities: Capacities = self._agent or StaticCapacities()
        self._budgets: dict[str, CallBudgets] = {}
        self._tenants = {section.name: tenant_of(section) for section in config.tenants}
        guest = None if config.guest is None else tenant_of(config.guest)
        self._keys = KeyRing(self._configured_keys(), self._clock, guest=guest)
        if self._agent is not None:
            # Not within reach until it was reached.
            self._metrics.observe(StateStoreChanged(is_up=False, reason="", policy=""))
            self._agent.watch_quotas(self._keys.quotas)
        self._upstreams = {section.name: self._upstream(endpoint_of(section)) for section in config.endpoints}
        self._jobs = OpenJobs(
            self._upstreams, clock=self._clock, observe=self._observe, store=self._journal_store(config.state, replica)
        )
        means = Means(
            upstreams=self._upstreams,
            jobs=self._jobs,
            health=HealthWatch(self._upstreams.values(), self._observe),
            clock=self._clock,
            observe=self._observe,
        )
        self.exchanges = Exchanges(means)
        self.app = self._build_app()
        self.metrics_app: ASGIApp = build_http(
            [metrics_route(self._metrics.render)], lifespan=[], report=self.exchanges.report, clock=self._clock
        )

    async def drain(self) -> None:
        """Stop taking work, let what runs finish, cut the rest and cancel its jobs."""
        self.log.say("gateway.draining", exchanges=self.exchanges.count, drain_s=self._config.drain_s)
        await self.exchanges.drain(self._config.drain_s)
        self.log.say("gateway.drained", exchanges=self.exchanges.count)

    def _lease_agent(self, state: State, replica: str) -> LeaseAgent | None:
        if state.kind == "memory":
            return None
        # Imported only where it is used: a gateway without a store starts sooner and smaller without it.
        from gateway.state.redis_leases import RedisLeases  # noqa: PLC0415

        def watch(*, is_up: bool, reason: str) -> None:
            self._observe(StateStoreChanged(is_up=is_up, reason=reason, policy=state.on_outage.value))

        return LeaseAgent(
            RedisLeases(state.url or "", prefix=state.prefix),
            replica=replica,
            incarnation=self._incarnation,
            policy=state.on_outage,
            clock=self._clock,
            watch=watch,
        )

    def _collector(self, section: TracesSection | None) -> "Traces | None":
        """Where requests are told of as traces.

        Raises:
            ConfigError: What that takes is not installed.
        """
        if section is None:
            return None
        try:
            # Imported only where it is used, as above: it is an extra, too.
            from gateway.observability.traces import Traces  # noqa: PLC0415
        except ImportError:
            text = "this needs an extra part that is not installed: pip install 'fairpod[otel]'"
            raise ConfigError([Problem("traces", text)]) from None
        return Traces(
            endpoint=section.endpoint,
            headers=section.headers,
            sample_ratio=section.sample_ratio,
            service_name=section.service_name,
            clock=self._clock,
            say=self.log.say,
        )

    def _journal_store(self, state: State, replica: str) -> JournalStore | None:
        if state.kind == "memory":
            return None
        from gateway.state.redis_journal import RedisJournal  # noqa: PLC0415 - as above.

        return RedisJournal(state.url or "", prefix=state.prefix, process=f"{replica} {self._incarnation}")

    def _build_app(self) -> ASGIApp:
        config, clock, keys = self._config, self._clock, self._keys
        endpoints = {name: upstream.endpoint for name, upstream in self._upstreams.items()}
        catalogue = Catalogue(model_of(section, endpoints) for section in config.models)
        completions = Completions(
            keys=keys,
            catalogue=catalogue,
            exchanges=self.exchanges,
            body_bytes_max=config.body_bytes_max,
            rhythm=self._rhythm,
            begin_trace=self._traces.begin if self._traces else None,
        )
        models = Models(keys=keys, catalogue=catalogue, created_s=int(clock.unix_s()))
        render = self._metrics.render if config.metrics_port is None else None
        operations = operation_routes(readiness=self._readiness, render_metrics=render)
        openapi = openapi_route(has_metrics=render is not None)
        return build_http(
            [*completions.routes(), *models.routes(), *operations, openapi, unknown_route(keys)],
            lifespan=[self._lifespan],
            report=self.exchanges.report,
            clock=clock,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        """Owns the background tasks and the connections."""
        try:
            async with anyio.create_task_group() as tasks:
                if self._agent is not None:
                    tasks.start_soon(self._keep_leases, self._agent)
                tasks.start_soon(self.exchanges.background)
                yield
                await self.exchanges.drain(0)
                tasks.cancel_scope.cancel()
        finally:
            await self._jobs.aclose()
            if self._agent is not None:
                await self._agent.leave()
            if self._traces is not None:
                await self._traces.aclose()
            await self._transport.aclose()

    async def _keep_leases(self, agent: LeaseAgent) -> None:
        while True:
            try:
                await agent.run()
            except Exception as error:  # noqa: BLE001 - one bad heartbeat must not end all that goes on beside it.
                self._observe(Broke(request_id="", error=error))
                await anyio.sleep(1)

    def _readiness(self) -> Readiness:
        draining = self.exchanges.is_draining
        has_capacity = self._agent is None or self._agent.is_ready
        return Readiness(
            ready=has_capacity and not draining,
            draining=draining,
            state_store=self._store_state(),
            exchanges=self.exchanges.count,
        )

    def _store_state(self) -> str:
        """In words, for /readyz."""
        if self._agent is None:
            return "memory"
        if self._agent.is_up:
            return "redis"
        return f"redis is out of reach; on_outage: {self._config.state.on_outage.value}"

    def _configured_keys(self) -> Iterator[Key]:
        for section in self._config.tenants:
            for key in section.keys:
                expires_at = None if isinstance(key, str) else key.expires_at
                yield Key(
                    sha256=key_digest(key),
                    tenant=self._tenants[section.name],
                    expires_at_s=unix_s(expires_at) if expires_at else None,
                )

    def _upstream(self, endpoint: Endpoint) -> Upstream:
        client = EndpointClient(endpoint, self._transport)
        budgets = self._budgets.get(endpoint.address)
        if budgets is None:
            budgets = CallBudgets(endpoint, self._clock, self._capacities)
            self._budgets[endpoint.address] = budgets
        gates = EndpointGates(endpoint, self._clock, budgets=budgets, capacities=self._capacities)
        return Upstream(endpoint, gates=gates, client=client, clock=self._clock, observe=self._observe)

    def _read(self) -> Iterator[Reading]:
        pending = self._jobs.cancels_pending()
        for name, upstream in self._upstreams.items():
            gate = upstream.gates.work
            yield Reading(
                endpoint=name,
                tickets=gate.waiting,
                permits=gate.held,
                fair_seats=gate.fair_seats(),
                share_ratios=gate.share_ratios(),
                budget_used={operation.value: gate.used for operation, gate in upstream.gates.calls.items()},
                cancels_pending=pending.get(name, 0),
                is_down=upstream.is_down,
            )


def _fan_out(observers: Sequence[Observer], log: EventLog) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - who only watches must not break what is watched.
                log.say("observer.broke", observed=type(event).__name__, error=type(error).__name__)

    return observe
