"""Everything that can go wrong, as types. They carry fields; `translate.error_body` gives them words and a status.

GatewayError
├── RequestError                  the client has to change something
│   ├── InvalidKeyError           401
│   ├── ModelForbiddenError       403
│   ├── UnknownModelError         404
│   ├── UnknownEndpointError      404
│   ├── UnknownUrlError           404
│   ├── MethodError               405
│   ├── SlowRequestError          408
│   ├── BodyTooLargeError         413
│   ├── UnsupportedEncodingError  415
│   ├── HeadTooLargeError         431
│   ├── IdempotencyError          422
│   └── InvalidRequestError       400
├── RefusedError                  not now
│   ├── TenantLimitError          429  a cap of the tenant's own
│   ├── OverShareError            429  the tenant's share is in use, and no more came free in time
│   ├── FailedKeysError           429  too many wrong keys came from this address
│   ├── NoTurnError               503  not even the tenant's share came free in time
│   ├── BodiesFullError           503  too much is being sent to this process
│   ├── AnswersFullError          503  too much is being answered by this process
│   ├── TooManyConnectionsError   503
│   └── DrainingError             503
└── UpstreamError                 Runpod or a worker
    ├── UnreachableError          502  no connection, or a reply that is not the service's; 503 where this
    │                             machine has no descriptor or port for one
    ├── UpstreamBusyError         503  429 from Runpod
    ├── UpstreamConfigError       502  Runpod refused our key, or does not know the endpoint
    ├── EndpointDownError         503  it failed time and again, and is asked no more for a while
    ├── NoWorkerError             503  nobody took the job within the cold start budget
    ├── UpstreamTimeoutError      504
    ├── ClientDeadlineError       504  not ready in the time that the client waits
    ├── JobExpiredError           502  its ttl or its retention is over
    ├── JobFailedError            502
    ├── JobNotRunError            502  its worker stopped before it began; another one may run it
    ├── OutputLostError           502  missing, cut short, or not repairable
    └── WorkerError                    an answer that is an error: the status it carries
"""

from gateway.errors.failure import (
    GatewayError,
)
from gateway.errors.refusal import (
    AnswersFullError,
    BodiesFullError,
    DrainingError,
    FailedKeysError,
    NoTurnError,
    OverShareError,
    RefusedError,
    TenantLimitError,
    TooManyConnectionsError,
)
from gateway.errors.request import (
    BodyTooLargeError,
    HeadTooLargeError,
    IdempotencyError,
    InvalidKeyError,
    InvalidRequestError,
    MethodError,
    ModelForbiddenError,
    RequestError,
    SlowRequestError,
    TooLargeError,
    UnknownEndpointError,
    UnknownModelError,
    UnknownUrlError,
    UnsupportedEncodingError,
)
from gateway.errors.upstream import (
    AnswerError,
    ClientDeadlineError,
    ConnectFault,
    EndpointDownError,
    JobExpiredError,
    JobFailedError,
    JobNotRunError,
    NoWorkerError,
    OutputLostError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamConfigError,
    UpstreamError,
    UpstreamTimeoutError,
    WorkerError,
)

__all__ = [
    "AnswerError",
    "AnswersFullError",
    "BodiesFullError",
    "BodyTooLargeError",
    "ClientDeadlineError",
    "ConnectFault",
    "DrainingError",
    "EndpointDownError",
    "FailedKeysError",
    "GatewayError",
    "HeadTooLargeError",
    "IdempotencyError",
    "InvalidKeyError",
    "InvalidRequestError",
    "JobExpiredError",
    "JobFailedError",
    "JobNotRunError",
    "MethodError",
    "ModelForbiddenError",
    "NoTurnError",
    "NoWorkerError",
    "OutputLostError",
    "OverShareError",
    "RefusedError",
    "RequestError",
    "SlowRequestError",
    "TenantLimitError",
    "TooLargeError",
    "TooManyConnectionsError",
    "UnknownEndpointError",
    "UnknownModelError",
    "UnknownUrlError",
    "UnreachableError",
    "UnsupportedEncodingError",
    "UpstreamBusyError",
    "UpstreamConfigError",
    "UpstreamError",
    "UpstreamTimeoutError",
    "WorkerError",
]
