"""Hold the permit and the attempt of one request, and go from one attempt to the next. Pure."""

from gateway.admission.permit import Permit
from gateway.errors import GatewayError, JobNotRunError, UpstreamBusyError
from gateway.exchange.admission_request import AdmissionRequest
from gateway.exchange.admitted import Admission
from gateway.exchange.attempt import Attempt
from gateway.exchange.attempt_factory import AttemptFactory, OpenAttempt
from gateway.exchange.failover import Attempts, Step
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.translate.error_body import ErrorAnswer


class AttemptSequence:
    """Try the model's endpoints in order, and each endpoint's routes. At the end, `close` and `release` it."""

    def __init__(self, services: Services, resolved: ResolvedRequest, record: Record) -> None:
        self._services = services
        self._resolved = resolved
        self._record = record
        self._factory = AttemptFactory(services, resolved, record)
        self._endpoints = iter(resolved.model.endpoints)
        self._attempts = Attempts(len(resolved.model.endpoints))
        self._request: AdmissionRequest | None = None
        self._admission: Admission | None = None
        self._open: OpenAttempt | None = None

    @property
    def is_wait_over(self) -> bool:
        """Return True if the permit was waited for long enough."""
        return self._request is not None and self._request.is_due

    def idle_chunk(self, *, is_shared: bool = False) -> bytes:
        """Return an event without content, in the format of the client; empty for a whole answer.

        Also empty if several clients share the answer (`is_shared`), and the event would have to be sent to all.
        """
        writer = self._factory.writer
        return writer.idle() if writer and not (is_shared and writer.is_cumulative) else b""

    def failure(self, answer: ErrorAnswer) -> bytes:
        """Return a failure as the last events of a stream; empty for a whole answer."""
        writer = self._factory.writer
        return writer.failure(answer) if writer else b""

    def next_endpoint(self) -> Permit:
        """Request a permit of the next endpoint; errors as for `AdmissionRequest`."""
        self.release()
        self._attempts.begin_endpoint()
        endpoint = next(self._endpoints)
        request = self._request = AdmissionRequest(
            self._services, self._resolved, self._record, self._factory, endpoint
        )
        if not request.permit.is_waiting:
            self._admit(request)
        return request.permit

    def conclude_wait(self) -> None:
        """End the wait for the permit; errors as for `AdmissionRequest`."""
        request = self._request
        if request is not None:
            request.conclude()
            self._admit(request)

    def _admit(self, request: AdmissionRequest) -> None:
        """Begin with the routes of the endpoint whose permit was granted."""
        self._admission = request.admit()
        # By the current state: a worker may have started or stopped during the wait.
        self._attempts.begin_routes(self._factory.routes(request.upstream))

    def begin(self) -> Attempt:
        """Begin the next attempt.

        Raises:
            GatewayError: It failed at once.
        """
        assert self._admission is not None  # noqa: S101 - an attempt has a permit.
        attempts = self._attempts
        opened = self._open = self._factory.open(attempts.route, self._admission, is_urgent=attempts.is_retry)
        opened.attempt.start()
        return opened.attempt

    def not_admitted(self, error: GatewayError) -> bool:
        """Return True if the next endpoint follows this refusal."""
        return self._step_after(error) is Step.NEXT_ENDPOINT

    def fail(self, error: GatewayError) -> tuple[Step, float]:
        """Close the attempt; return what follows this failure, and the seconds before it."""
        self.close(error)
        step = self._step_after(error)
        # A worker's own 429 is not reported to the gate: the request had a seat for it.
        is_limit = isinstance(error, UpstreamBusyError) and error.is_of_all
        is_retry = step is Step.RETRY
        if self._admission is not None and (is_limit or (is_retry and isinstance(error, JobNotRunError))):
            self._admission.meter.refused()
        return step, self._attempts.pause_s(error) if is_retry and not is_limit else 0.0

    def _step_after(self, error: GatewayError) -> Step:
        record = self._record
        return self._attempts.failed(
            error, has_output=record.first_chunk_s is not None, has_job=record.job_id is not None
        )

    def close(self, error: GatewayError | None) -> None:
        """Close the attempt, if there is one; `error` as for `Attempt.close`."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.close(error, self._record, prompt_tokens=self._resolved.request.prompt_tokens)

    def release(self) -> None:
        """Withdraw the request for a permit, or return the permit."""
        request, self._request, self._admission = self._request, None, None
        if request is not None:
            request.release()
