"""Request the permit of one endpoint for a request, wait for it, and hold it. Pure."""

from gateway.admission.permit import Permit
from gateway.admission.request_meter import RequestMeter
from gateway.admission.seat import Seat
from gateway.domain import Endpoint
from gateway.errors import GatewayError, NoTurnError
from gateway.events import Admitted
from gateway.exchange.admitted import Admission
from gateway.exchange.attempt_factory import AttemptFactory
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services


class AdmissionRequest:
    """Represent the request for a permit of one endpoint. It has to be released."""

    def __init__(
        self,
        services: Services,
        resolved: ResolvedRequest,
        record: Record,
        factory: AttemptFactory,
        endpoint: Endpoint,
    ) -> None:
        """Request a permit, which is granted or waiting.

        Raises:
            EndpointDownError: The breaker is open, or the tenant is paused.
            RefusedError: Workers are up, and no permit can be granted in time.
            NoWorkerError: No worker is up.
            GatewayError: The endpoint's workers cannot serve the request.
        """
        self._services = services
        self._resolved = resolved
        self._record = record
        self.upstream = upstream = services.upstreams[endpoint.name]
        route = factory.routes(upstream)[0]
        record.endpoint, record.route = upstream.endpoint.name, route.value
        factory.check(upstream.endpoint, route)
        upstream.check(resolved.tenant)
        if upstream.arrive():
            services.health.ask(upstream)
        self._arrived_s = record.queued_at_s = record.elapsed_s()
        record.turn_at_s = record.sent_at_s = None
        try:
            self.permit: Permit = upstream.gates.work.request(
                resolved.tenant,
                wait_s_max=upstream.endpoint.queue_timeout_s,
                member=resolved.member,
                size=resolved.request.body_bytes,
            )
        except NoTurnError as error:
            raise self._refusal(error) from None
        self._is_held = True

    @property
    def is_due(self) -> bool:
        """Return True if the wait is over, so that it has to be concluded."""
        return self.permit.is_waiting and self.upstream.gates.work.wait_left_s(self.permit) <= 0

    def conclude(self) -> None:
        """End the wait; errors as above. After an error nothing is held."""
        try:
            self.upstream.gates.work.conclude(self.permit)
        except NoTurnError as error:
            self._is_held = False
            raise self._refusal(error) from None
        except GatewayError:
            self._is_held = False
            raise

    def admit(self) -> Admission:
        """Record that the permit was granted, and return what the request holds by it."""
        permit, upstream, record = self.permit, self.upstream, self._record
        record.queue_s, record.turn_at_s = permit.wait_s, self._arrived_s + permit.wait_s
        admitted = Admitted(tenant=self._resolved.tenant.name, endpoint=upstream.endpoint.name, wait_s=permit.wait_s)
        self._services.observe(admitted)
        meter = RequestMeter(upstream.gates.work, permit, upstream.endpoint.share_by)
        return Admission(upstream, meter, Seat(permit, self._resolved.in_flight))

    def release(self) -> None:
        """Withdraw the request, or return the permit. Only the first call has an effect."""
        if self._is_held:
            self._is_held = False
            self.permit.release()

    def _refusal(self, error: NoTurnError) -> GatewayError:
        if not self.upstream.gates.work.is_capped:
            return error
        return self.upstream.no_worker(self._record.elapsed_s() - self._arrived_s)
