"""Define all expected errors as types with fields; `translate.error_body` maps them to messages and HTTP statuses.

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
├── RefusedError                  the gateway rejects the request for now
│   ├── TenantLimitError          429  a cap of the tenant
│   ├── OverShareError            429  the tenant's share is in use, and no spare capacity became free in time
│   ├── FailedKeysError           429  too many wrong keys came from this address
│   ├── NoTurnError               503  not even the tenant's share became free in time
│   ├── BodiesFullError           503  too many bytes of request bodies in this process
│   ├── AnswersFullError          503  too many bytes of answers in this process
│   ├── TooManyConnectionsError   503
│   └── DrainingError             503
└── UpstreamError                 Runpod or a worker
    ├── UnreachableError          502  no connection, or a reply that is not from the service; 503 if this machine
    │                             has no descriptor or port for a connection
    ├── UpstreamBusyError         503  429 from Runpod
    ├── UpstreamConfigError       502  Runpod rejected our key, or does not know the endpoint
    ├── EndpointDownError         503  it failed repeatedly, and gets no requests for a while
    ├── NoWorkerError             503  no worker took the job within the cold start budget
    ├── UpstreamTimeoutError      504
    ├── ClientDeadlineError       504  not ready before the client's deadline
    ├── JobExpiredError           502  its ttl or its retention is over
    ├── JobFailedError            502
    ├── JobNotRunError            502  its worker stopped before it began; another one may run it
    ├── OutputLostError           502  missing, cut short, or not repairable
    └── WorkerError                    an error answer of the worker, with the status that it carries
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
