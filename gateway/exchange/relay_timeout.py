"""Limit the time of a relayed request. Pure."""

from gateway.domain import EndpointState
from gateway.endpoints.upstream import Upstream
from gateway.endpoints.worker_state import Activity
from gateway.errors import GatewayError, UpstreamTimeoutError


class RelayTimeout:
    """Limit the time of a relayed request: the timeouts of a job, by what is known about the request.

    Its first output may take `cold_start_timeout_s`. An answer in one piece shows nothing until it is complete, so if a
    worker is believed to have it, it may take `execution_timeout_s`.
    """

    def __init__(self, upstream: Upstream, *, is_stream: bool, is_warm: bool) -> None:
        """Create it; `is_warm` is True if a worker is believed to be up."""
        self._upstream = upstream
        self._endpoint = upstream.endpoint
        self._is_stream = is_stream
        self._sent_at_s = upstream.now_s
        self.has_begun = is_warm and not is_stream
        """True if the current timeout is the one for execution."""
        self.deadline_s = self._end_s(self._sent_at_s)

    @property
    def s_max(self) -> float:
        """Return the maximum total duration, in seconds."""
        return self._endpoint.cold_start_timeout_s + self._endpoint.execution_timeout_s

    def seen(self, has_begun: bool) -> None:  # noqa: FBT001 - a callback's one argument.
        """Record whether workers run, so that one may have the request."""
        if not self._is_stream and has_begun is not self.has_begun:
            self.has_begun = has_begun
            self.deadline_s = self._end_s(self._upstream.now_s if has_begun else self._sent_at_s)

    def output(self) -> None:
        """Record its first output. An answer in one piece keeps its timeout, because its head may be received early."""
        if not self.has_begun:
            self.has_begun = True
            self.deadline_s = self._end_s(self._upstream.now_s)

    def _end_s(self, since_s: float) -> float:
        endpoint = self._endpoint
        return since_s + (endpoint.execution_timeout_s if self.has_begun else endpoint.cold_start_timeout_s)

    def error(self, activity: Activity) -> GatewayError:
        """Return the error for an expired timeout: the same as on the job route."""
        upstream = self._upstream
        if not self.has_begun:
            return upstream.no_worker(self._endpoint.cold_start_timeout_s)
        is_loading = not activity.has_output and upstream.workers.state(upstream.now_s) is EndpointState.LOADING
        return UpstreamTimeoutError(is_loading=is_loading, is_cancelled=False)
