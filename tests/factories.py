"""Builders with defaults: a test names only what it is about."""

from typing import Any

import msgspec
from msgspec import Raw

from gateway.apis import CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, Api
from gateway.domain import Attempt, Endpoint, Limit, Operation, Resource, Route, Secret, Tenant
from gateway.jobs.pending_cancel import PendingCancel
from gateway.translate.request import ClientRequest, read_request
from gateway.wire.openai import Fields


def client_request(api: Api = CHAT_COMPLETIONS, **fields: Any) -> ClientRequest:
    """A request as a client would send it; `...` leaves a field out."""
    asked = {
        CHAT_COMPLETIONS: {"messages": [{"role": "user", "content": "Hello"}]},
        COMPLETIONS: {"prompt": "Hello"},
        EMBEDDINGS: {"input": "Hello"},
    }[api]
    body = {name: value for name, value in {"model": "m", **asked, **fields}.items() if value is not ...}
    return read_request(api, msgspec.json.encode(body))


def fields_of(value: Any) -> Fields:
    """An object with its values left raw."""
    return msgspec.json.decode(msgspec.json.encode(value), type=Fields)


def plain(fields: Any) -> Any:
    """Raw values decoded, for comparisons."""
    return msgspec.json.decode(msgspec.json.encode(fields))


def raw(value: Any) -> Raw:
    """A value as a worker's output."""
    return Raw(msgspec.json.encode(value))


def endpoint(**changes: Any) -> Endpoint:
    """An endpoint that waits for nobody."""
    return Endpoint(
        **{
            "name": "chat",
            "id": "ep1",
            "base_url": "http://127.0.0.1:1/v2",
            "api_key": Secret("rpa_test"),
            "route": Route.JOB,
            "dialect": "openai",
            "max_in_flight": 4,
            "max_in_flight_cold": 1,
            "min_workers": 0,
            "queue_timeout_s": 1.0,
            "cold_start_timeout_s": 5.0,
            "execution_timeout_s": 5.0,
            "share_by": Resource.SEAT_SECONDS,
            "limits": {},
            **changes,
        }
    )


def limits(per_10s: int, concurrent: int) -> dict[Operation, Limit]:
    """The same limit for every operation."""
    return {operation: Limit(per_10s=per_10s, concurrent=concurrent) for operation in Operation}


def tenant(**changes: Any) -> Tenant:
    """A tenant without caps."""
    return Tenant(**{"name": "acme", **changes})


def left_job(job_id: str, **changes: Any) -> PendingCancel:
    """A job to be cancelled, that no worker was seen to take and no ttl ends soon."""
    owner = changes.pop("tenant", tenant())
    own = {"attempt": attempt(job_id=job_id, tenant=owner.name), "tenant": owner, "started_at_s": None}
    return PendingCancel(**{**own, "expires_at_s": 1e12, **changes})


def attempt(**changes: Any) -> Attempt:
    """The first attempt of a request on the job route."""
    own = {"request_id": "r", "number": 1, "tenant": "acme", "key_id": "key_1", "model": "m", "endpoint": "chat"}
    return Attempt(**{**own, "route": "job", "job_id": "j", **changes})
