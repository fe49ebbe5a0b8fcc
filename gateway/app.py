"""The composition root: the only module that knows every other."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
from litestar import Litestar
from litestar.types import ASGIApp

from gateway import __version__
from gateway.admission.capacity import Capacities, StaticCapacities
from gateway.admission.gates import CallBudgets, EndpointGates
from gateway.api.answer_response import Rhythm
from gateway.api.auth import Key, KeyRing
from gateway.api.completions import Completions
from gateway.api.models import Models
from gateway.api.operations import Readiness, metrics_route, operation_routes
from gateway.api.router import build_http
from gateway.api.unknown import unknown_route
from gateway.clock import Clock, SystemClock
from gateway.config.reading import ConfigError, Problem, endpoint_names, key_digest
from gateway.config.sections import Config, EndpointSection, GuestSection, ModelSection, TenantSection
from gateway.domain import Endpoint, Model, Secret, Tenant
from gateway.exchange.cancel_queue import CancelQueue
from gateway.exchange.catalogue import ANY, Catalogue
from gateway.exchange.events import Event, Observer
from gateway.exchange.exchange import Means
from gateway.exchange.exchanges import Exchanges
from gateway.exchange.health_watch import HealthWatch
from gateway.exchange.upstream import Upstream
from gateway.observability.logs import EventLog
from gateway.observability.metrics import Metrics, Reading
from gateway.upstream.client import EndpointClient, make_transport
from gateway.upstream.job_api import JobApi
from gateway.upstream.openai_route import OpenAIRoute

OTHER = "other"
"""The label of a model whose name the client chose."""


class Gateway:
    """One gateway process: what `serve` runs and drains."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._config = config
        self._rhythm = rhythm or Rhythm()
        self._clock = clock or SystemClock()
        self._transport = transport or make_transport()
        self._metrics = Metrics(version=__version__, read=self._read)
        self.log = EventLog()
        self._budgets: dict[tuple[str, str], CallBudgets] = {}
        self._capacities: Capacities = StaticCapacities()
        self._tenants = {section.name: _tenant(section) for section in config.tenants}
        observe = _fan_out([self._metrics.observe, self.log.observe], self.log)
        self._upstreams = {section.name: self._upstream(section, observe) for section in config.endpoints}
        means = Means(
            upstreams=self._upstreams,
            cancels=CancelQueue(observe),
            health=HealthWatch(self._clock, observe),
            clock=self._clock,
            observe=observe,
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

    def _build_app(self) -> ASGIApp:
        config, clock = self._config, self._clock
        guest = None if config.guest is None else _tenant(config.guest)
        keys = KeyRing(self._keys(), clock, guest=guest)
        catalogue = Catalogue(_model(section, self._upstreams) for section in config.models)
        completions = Completions(
            keys=keys,
            catalogue=catalogue,
            exchanges=self.exchanges,
            body_bytes_max=config.body_bytes_max,
            rhythm=self._rhythm,
        )
        models = Models(keys=keys, catalogue=catalogue, created_s=int(clock.unix_s()))
        render = self._metrics.render if config.metrics_port is None else None
        operations = operation_routes(readiness=self._readiness, render_metrics=render)
        return build_http(
            [*completions.routes(), *models.routes(), *operations, unknown_route(keys)],
            lifespan=[self._lifespan],
            report=self.exchanges.report,
            clock=clock,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        """Owns the background tasks and the connections."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.exchanges.background)
                yield
                await self.exchanges.drain(0)
                tasks.cancel_scope.cancel()
        finally:
            await self._transport.aclose()

    def _readiness(self) -> Readiness:
        draining = self.exchanges.is_draining
        return Readiness(ready=not draining, draining=draining, state_store="memory", exchanges=self.exchanges.count)

    def _keys(self) -> Iterator[Key]:
        for section in self._config.tenants:
            for key in section.keys:
                expires_at = None if isinstance(key, str) else key.expires_at
                yield Key(
                    sha256=key_digest(key),
                    tenant=self._tenants[section.name],
                    expires_at_s=_unix_s(expires_at) if expires_at else None,
                )

    def _upstream(self, section: EndpointSection, observe: Observer) -> Upstream:
        endpoint = _endpoint(section)
        client = EndpointClient(endpoint, self._transport)
        budgets = self._budgets.get((endpoint.base_url, endpoint.id))
        if budgets is None:
            budgets = CallBudgets(endpoint, self._clock, self._capacities)
            self._budgets[endpoint.base_url, endpoint.id] = budgets
        gates = EndpointGates(endpoint, self._clock, budgets=budgets, capacities=self._capacities)
        return Upstream(endpoint, gates=gates, jobs=JobApi(client), openai=OpenAIRoute(client), observe=observe)

    def _read(self) -> Iterator[Reading]:
        for name, upstream in self._upstreams.items():
            tickets, permits = upstream.gates.work.waiting, upstream.gates.work.held
            yield Reading(
                endpoint=name,
                tickets=tickets,
                permits=permits,
                weights=upstream.gates.work.backlog.weights(),
                budget_used={operation.value: gate.used for operation, gate in upstream.gates.calls.items()},
            )


def _fan_out(observers: list[Observer], log: EventLog) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - who only watches must not break what is watched.
                log.say("observer.broke", observed=type(event).__name__, error=type(error).__name__)

    return observe


def _tenant(section: TenantSection | GuestSection) -> Tenant:
    return Tenant(
        name=section.name,
        weight=section.weight,
        models=tuple(section.models),
        max_in_flight=section.max_in_flight,
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
    )


def _endpoint(section: EndpointSection) -> Endpoint:
    return Endpoint(
        name=section.name,
        id=section.id,
        base_url=section.base_url,
        api_key=_api_key(section),
        route=section.route,
        dialect=section.worker,
        max_in_flight=section.max_in_flight,
        queue_timeout_s=section.queue_timeout_s,
        cold_start_timeout_s=section.cold_start_timeout_s,
        execution_timeout_s=section.execution_timeout_s,
        share_by=section.share_by,
        limits=section.limits,
    )


def _api_key(section: EndpointSection) -> Secret:
    """The key itself, or the content of its file.

    Raises:
        ConfigError: The file cannot be read.
    """
    if section.api_key is not None:
        return Secret(section.api_key.strip())
    try:
        return Secret(Path(section.api_key_file or "").read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(f"endpoints.{section.name}.api_key_file", str(error))]) from None


def _model(section: ModelSection, upstreams: dict[str, Upstream]) -> Model:
    return Model(
        id=section.id,
        endpoints=tuple(upstreams[name].endpoint for name in endpoint_names(section.endpoint)),
        upstream=section.upstream or section.id,
        kind=section.kind,
        label=OTHER if section.id == ANY else section.id,
    )


def _unix_s(moment: dt.datetime) -> float:
    """A time without a zone is UTC: the same file means the same on every machine."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
