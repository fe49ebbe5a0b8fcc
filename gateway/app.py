"""Assemble a gateway process from its parts: the composition root."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import httpx
from litestar import Litestar
from litestar.types import ASGIApp

from gateway import __version__
from gateway.admission.capacity import Capacities, StaticCapacities
from gateway.admission.lease_agent import LeaseAgent
from gateway.api.auth import KeyRing
from gateway.api.body import BodyBudget
from gateway.api.completions import Completions
from gateway.api.models import Models
from gateway.api.not_found import unknown_route
from gateway.api.openapi import openapi_route
from gateway.api.probes import Readiness, metrics_route, operation_routes
from gateway.api.router import build_http
from gateway.api.token_counts import TokenCounts
from gateway.clock import Clock, SystemClock
from gateway.composition.endpoints import Endpoints
from gateway.composition.optional import journal_store, lease_store, traces
from gateway.composition.tenants_and_models import guest_of, keys_of, models_of, weights_of
from gateway.config.changes import changes
from gateway.config.loader import Problem
from gateway.config.schema import Config, State
from gateway.config.to_domain import endpoint_of, memory_plan_of
from gateway.endpoints.health_checker import HealthChecker
from gateway.events import ConfigRead, RecordsUnreadable, Reload, ReplicaOvertaken, StateStoreChanged
from gateway.exchange.catalogue import Catalogue
from gateway.exchange.client_response import KeepAliveIntervals
from gateway.exchange.registry import ExchangeRegistry
from gateway.exchange.resolved_request import Services
from gateway.fairshare.memory_shares import MemoryShares
from gateway.jobs.job_tracker import JobTracker
from gateway.jobs.journal import JournalStore
from gateway.observability.fan_out import fan_out
from gateway.observability.gauges import EndpointGauges
from gateway.observability.logs import EventLog
from gateway.observability.metrics import Metrics
from gateway.observability.metrics_page import MetricsPage
from gateway.observability.process_log import lines_dropped
from gateway.supervisor import Supervisor
from gateway.upstream.client import make_transport


class Gateway:
    """Represent one gateway process, which `serve` runs and drains."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        intervals: KeepAliveIntervals | None = None,
        replica: str = "",
        processes: int = 1,
    ) -> None:
        """Create it. `replica` is its name in the store, kept over restarts; `processes` the number on this machine."""
        self._config = config
        self._intervals = intervals or KeepAliveIntervals()
        self._clock = clock or SystemClock()
        self._transport = transport or make_transport()
        self.memory = memory_plan_of(config, processes=processes)
        self._metrics = self._make_metrics(config)
        self._page = MetricsPage(self._metrics, self._clock)
        self.log = EventLog()
        self.has_left_jobs: bool | None = None
        """True if jobs still run after `drain` that no process will cancel; None before `drain` has finished."""
        # Starts with the time, which orders this process after earlier ones of the same replica.
        self._incarnation = f"{int(self._clock.unix_s() * 1000):015}-{secrets.token_hex(4)}"
        self._traces = traces(config.traces, clock=self._clock, say=self.log.say)
        observers = [self._metrics.observe, self.log.observe, *([self._traces.observe] if self._traces else [])]
        self.observe = self._observe = fan_out(observers, self.log)
        self.supervisor = Supervisor(self._clock, self._observe)
        self._agent = self._lease_agent(config.state, replica)
        self._capacities: Capacities = self._agent or StaticCapacities()
        self._endpoints = self._build_endpoints()
        self._upstreams = self._endpoints.upstreams
        self._keys = KeyRing(keys_of(config), self._clock, guest=guest_of(config), observe=self._observe)
        self._keys.limit_failures(config.clients.failed_keys_per_minute)
        if self._agent is not None:
            # The store counts as unreachable until the first successful heartbeat.
            self._metrics.observe(StateStoreChanged(is_up=False, reason="", policy=""))
            self._agent.watch_quotas(self._keys.quotas)
            self._endpoints.tell(self._agent)
        process = f"{replica} {self._incarnation}"
        self._jobs = self._open_jobs(journal_store(config.state, process, self._observe))
        health = HealthChecker(self._upstreams.values(), self._observe)
        services = Services(
            upstreams=self._upstreams, jobs=self._jobs, health=health, clock=self._clock, observe=self._observe
        )
        self.exchanges = ExchangeRegistry(services, kept_bytes_max=self.memory.kept)
        self._endpoints.reweigh(weights_of(config))
        endpoints = {name: upstream.endpoint for name, upstream in self._upstreams.items()}
        self._catalogue = Catalogue(models_of(config, endpoints), endpoints.values())
        self._completions = Completions(
            keys=self._keys,
            catalogue=self._catalogue,
            exchanges=self.exchanges,
            room=BodyBudget(body_bytes_max=config.body_bytes_max, bytes_max=self.memory.requests),
            intervals=self._intervals,
            begin_trace=self._traces.begin if self._traces else None,
        )
        self.app = self._build_app()
        self.metrics_app: ASGIApp = build_http(
            [metrics_route(self._page.get)], lifespan=[], report=self.exchanges.report, clock=self._clock
        )

    @property
    def body_bytes_max(self) -> int:
        """Return the maximum size in bytes of a request body."""
        return self._completions.body_bytes_max

    def take(self, config: Config) -> None:
        """Apply another configuration, completely or not at all.

        This happens within one step of the event loop, so that no request sees a part of it. Requests in flight keep
        their tenant, model and answer; the next calls for them use the new settings.

        Raises:
            ConfigError: A change needs a restart.
        """
        found = changes(self._config, config)
        endpoints = {section.name: endpoint_of(section) for section in config.endpoints}
        models, keys = models_of(config, endpoints), list(keys_of(config))
        # From here on nothing must raise or wait.
        self._config = config
        # Before the limits change: seats that are added are then granted by the new weights.
        self._endpoints.reweigh(weights_of(config))
        for name, endpoint in endpoints.items():
            self._upstreams[name].take(endpoint)
        self._catalogue.replace(models, endpoints.values())
        self._keys.replace(keys, guest=guest_of(config))
        if self._agent is not None:
            self._agent.watch_quotas(self._keys.quotas)
        self._completions.limit_bodies(config.body_bytes_max)
        outcome = Reload.TAKEN if found else Reload.UNCHANGED
        self._observe(ConfigRead(outcome=outcome, at_s=self._clock.unix_s(), changes=[str(each) for each in found]))

    def refuse(self, problems: list[Problem]) -> None:
        """Report that another configuration was rejected, with its problems."""
        texts = [str(problem) for problem in problems]
        self._observe(ConfigRead(outcome=Reload.REFUSED, at_s=self._clock.unix_s(), problems=texts))

    async def drain(self, *, is_hurried: bool = False) -> None:
        """Stop accepting requests, wait for those in flight unless `is_hurried`, end the rest and cancel their jobs."""
        drain_s = 0.0 if is_hurried else self._config.drain_s
        self.log.say("gateway.draining", exchanges=self.exchanges.count, drain_s=drain_s)
        left = await self.exchanges.drain(drain_s, is_hurried=is_hurried)
        # With a shared journal another process cancels them later.
        self.has_left_jobs = bool(left.jobs) and self._config.state.kind == "memory"
        say = self.log.warn if self.has_left_jobs else self.log.say
        say("gateway.drained", exchanges=self.exchanges.count, jobs_left=left.jobs, abandoned=left.abandoned)

    def _open_jobs(self, store: JournalStore | None) -> JobTracker:
        hold = self._keys.hold_place
        return JobTracker(self._upstreams, clock=self._clock, observe=self._observe, store=store, hold_place=hold)

    def _lease_agent(self, state: State, replica: str) -> LeaseAgent | None:
        store = lease_store(state)
        if store is None:
            return None

        def watch(*, is_up: bool, reason: str) -> None:
            self._observe(StateStoreChanged(is_up=is_up, reason=reason, policy=state.on_outage.value))

        agent = LeaseAgent(
            store,
            replica=replica,
            incarnation=self._incarnation,
            policy=state.on_outage,
            clock=self._clock,
            watch=watch,
        )
        agent.watch_unreadable(lambda kind, count: self._observe(RecordsUnreadable(kind=kind, count=count)))
        agent.watch_overtaken(lambda name: self._observe(ReplicaOvertaken(replica=name)))
        return agent

    def _build_endpoints(self) -> Endpoints:
        return Endpoints(
            (endpoint_of(section) for section in self._config.endpoints),
            transport=self._transport,
            answers=MemoryShares(self.memory.answers),
            capacities=self._capacities,
            clock=self._clock,
            observe=self._observe,
        )

    def _make_metrics(self, config: Config) -> Metrics:
        return Metrics(
            version=__version__,
            read=self._read,
            endpoints=[section.name for section in config.endpoints],
            started_at_s=self._clock.unix_s(),
            lines_dropped=lines_dropped,
            clock=self._clock,
        )

    def _build_app(self) -> ASGIApp:
        clock, keys = self._clock, self._keys
        models = Models(keys=keys, catalogue=self._catalogue, created_s=int(clock.unix_s()))
        room = self._completions.room
        counts = TokenCounts(keys=keys, catalogue=self._catalogue, exchanges=self.exchanges, room=room)
        render = self._page.get if self._config.metrics_port is None else None
        operations = operation_routes(
            readiness=self._readiness, failed_task=lambda: self.supervisor.given_up, render_metrics=render
        )
        openapi = openapi_route(has_metrics=render is not None)
        return build_http(
            [*self._completions.routes(), counts.route(), *models.routes(), *operations, openapi, unknown_route(keys)],
            lifespan=[self._lifespan],
            report=self.exchanges.report,
            clock=clock,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        """Run the background tasks; at the end cancel them and close the connections."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.background)
                yield
                if self.has_left_jobs is None:
                    await self.drain(is_hurried=True)
                tasks.cancel_scope.cancel()
        finally:
            await self._jobs.aclose()
            if self._agent is not None:
                await self._agent.leave()
            if self._traces is not None:
                await self._traces.aclose()
            await self._transport.aclose()

    async def background(self) -> None:
        """Run the background tasks until cancelled. Requests with an Idempotency-Key depend on one of them."""
        running = {"keepalive": self._completions.keepalives.run, **self.exchanges.background()}
        if self._agent is not None:
            running["leases"] = self._agent.run
        async with anyio.create_task_group() as tasks:
            for name, run in running.items():
                tasks.start_soon(self.supervisor.keep, name, run)

    def _readiness(self) -> Readiness:
        draining = self.exchanges.is_draining
        has_capacity = self._agent is None or self._agent.is_ready
        return Readiness(
            ready=has_capacity and not draining and self.supervisor.given_up is None,
            draining=draining,
            state_store=self._store_state(),
            exchanges=self.exchanges.count,
        )

    def _store_state(self) -> str:
        """Describe the state store for /readyz."""
        if self._agent is None:
            return "memory"
        if self._agent.is_up:
            return "redis"
        return f"redis is unreachable; on_outage: {self._config.state.on_outage.value}"

    def _read(self) -> Iterator[EndpointGauges]:
        # Only one of all replicas must count the idle time.
        counts_idle = self._agent is None or self._agent.contact.rank == 0
        return self._endpoints.read(self._jobs.cancels_pending(), counts_idle=counts_idle)
