"""Describe a client's request, and what every exchange of a process uses to serve it."""

from collections.abc import Callable, Mapping

import msgspec

from gateway.admission.ref_counted_hold import RefCountedHold
from gateway.clock import Clock
from gateway.domain import Model, Tenant
from gateway.endpoints.health_checker import HealthChecker
from gateway.endpoints.upstream import Upstream
from gateway.events import Observer
from gateway.fairshare.quota import TenantQuota
from gateway.jobs.job_tracker import JobTracker
from gateway.translate.client_formats.contract import ClientFormat
from gateway.translate.request import ClientRequest


class ResolvedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a request, its tenant and its model."""

    request: ClientRequest
    client_format: ClientFormat
    tenant: Tenant
    member: str
    """Member of the tenant that sent it: a tenant's members are served round robin."""
    quota: TenantQuota
    in_flight: RefCountedHold
    """Place of the request among its tenant's requests in flight. The exchange is its first user."""
    model: Model
    deadline_s: float | None = None
    """Seconds that the client waits for a whole answer, from its request on; None if not specified, and for a stream,
    whose clients limit the time between two pieces."""
    release: Callable[[], None] = lambda: None
    """Called when nothing of the request is needed any more."""

    @property
    def is_job_only(self) -> bool:
        """Return True if it must not use the OpenAI route, on which an abandoned answer cannot be cancelled."""
        return self.tenant.is_job_only or self.model.is_job_only


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what every exchange of a process uses."""

    upstreams: Mapping[str, Upstream]
    jobs: JobTracker
    health: HealthChecker
    clock: Clock
    observe: Observer
