"""Build the OpenAPI 3.1 document of the API, and serve it as GET /openapi.json.

It describes what the gateway itself reads and writes; all other fields pass through to the worker and back unchanged.
"""

import msgspec
from litestar import MediaType, Response, route
from litestar.handlers import HTTPRouteHandler

from gateway import __version__
from gateway.api.openapi_schemas import ref, schemas
from gateway.api.paths import MODEL_PATHS, OF_ENDPOINT, paths_of
from gateway.api.probes import LIVE_PATHS, METRICS_TYPE, READ
from gateway.api.token_counts import COUNT_PATH
from gateway.translate.client_formats.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.translate.client_formats.contract import ClientFormat
from gateway.translate.client_formats.registry import CLIENT_FORMATS
from gateway.translate.client_formats.schema import JsonObject

PATH = "/openapi.json"

_JSON = "application/json"
_COMMON_HEADERS = ("x-request-id", "request-id", "cache-control")
_QUOTA_HEADERS = tuple(
    f"x-ratelimit-{figure}-{unit}" for unit in ("requests", "tokens") for figure in ("limit", "remaining", "reset")
)
_ANSWER_HEADERS = (
    "x-fairpod-endpoint",
    "x-fairpod-job-id",
    "x-fairpod-queue-ms",
    "x-fairpod-dropped-tools",
    "idempotent-replayed",
)
_HEADERS = {
    "x-request-id": "ID of this request, also in the gateway's log.",
    "request-id": "The same ID, under the name that Anthropic's clients read.",
    "cache-control": "`no-store`: caches must not store any answer.",
    "x-fairpod-endpoint": "Endpoint that served the request.",
    "x-fairpod-job-id": "Runpod's ID of the job.",
    "x-fairpod-queue-ms": "Milliseconds that the request waited in the gateway's queue.",
    "x-fairpod-dropped-tools": "Types of declared tools that were dropped, because only OpenAI runs them.",
    "idempotent-replayed": "`true` if the answer was made for another request with the same Idempotency-Key.",
    "x-should-retry": "`false` if a retry cannot succeed.",
    "retry-after": "Seconds to wait before a retry: an integer from 1 to 60.",
    "retry-after-ms": "Milliseconds to wait before a retry.",
    "allow": "Methods allowed for this path.",
    "accept-encoding": "Content-Encodings that are accepted for a request body.",
    "www-authenticate": '`Bearer` with a realm, and `error="invalid_token"` if a key was sent.',
    **dict.fromkeys(
        _QUOTA_HEADERS, "Present if the tenant has such a limit. Current value; a reset is a duration such as `6m0s`."
    ),
}
_ALWAYS = frozenset(
    {
        *_COMMON_HEADERS,
        "retry-after",
        "retry-after-ms",
        "allow",
        "www-authenticate",
        "accept-encoding",
    }
)
"""Headers that are present in every response that lists them."""

_PARAMETERS = {
    "endpoint_id": "Runpod ID or name of a configured endpoint. Only its models are served, and only by this endpoint.",
    "model_id": "ID of the model; may contain slashes.",
}
_EVENT: JsonObject = {
    "description": "One event: a chunk, `[DONE]` after the last chunk, or an error envelope instead of it. A response "
    "has events of its own, whose last one is `response.completed`, `response.incomplete` or `response.failed`. "
    "Messages have Anthropic's events, which end with `message_stop` or `error`.",
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string"}},
}
"""Schema of one event: OpenAPI 3.1 cannot describe a stream, and tools that read streams expect this form."""
_RETRY_HEADERS = ("retry-after", "retry-after-ms")
_ERRORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "400": ("The request is invalid.", ()),
    "401": ("The API key is missing, unknown or expired.", ("www-authenticate",)),
    "403": ("The tenant is not allowed to use this model.", ()),
    "404": ("The model or the endpoint does not exist.", ()),
    "405": ("The method is not allowed for this path.", ("allow",)),
    "408": ("Timed out while receiving the request.", ()),
    "413": ("The body exceeds the limit of this gateway or of Runpod.", ()),
    "415": ("The Content-Encoding of the body is not supported.", ("accept-encoding",)),
    "422": ("The Idempotency-Key was used with another body, or its answer was too large to be stored.", ()),
    "429": ("The tenant's limit or fair share is used up, or the worker's rate limit is reached.", ()),
    "431": ("The headers exceed the limit of this gateway.", ()),
    "4XX": ("The worker rejected the request.", ()),
    "502": ("Runpod or the worker failed.", ("x-should-retry", *_RETRY_HEADERS)),
    "503": ("No capacity or no worker became available in time, or the process is shutting down.", _RETRY_HEADERS),
    "504": ("The worker did not finish in time.", ()),
}
_ERROR_SCHEMAS = ("ErrorBody", "MessagesError")
_COUNT_ERRORS = ("400", "401", "403", "404", "405", "408", "413", "415", "429", "431", "503")
_BODY = (
    "May be compressed with the declared Content-Encoding: gzip, deflate, or zstd if the gateway has a library for it."
)
_IDEMPOTENCY_KEY: JsonObject = {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"}
_KEYS: list[JsonObject] = [{"bearer": []}, {"apiKey": []}, {"xApiKey": []}]
"""Alternative security schemes, in order of precedence if a request has several."""


def openapi_route(*, has_metrics: bool) -> HTTPRouteHandler:
    """Return the route of the document, which needs no key; `has_metrics` says if /metrics is on the same port."""
    body = msgspec.json.encode(describe(has_metrics=has_metrics))

    @route(PATH, http_method=READ)
    async def openapi() -> Response[bytes]:
        return Response(body, media_type=MediaType.JSON)

    return openapi


def describe(*, has_metrics: bool) -> JsonObject:
    """Return the OpenAPI document; `has_metrics` includes /metrics."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fairpod",
            "version": __version__,
            "description": "OpenAI-compatible API for Runpod Serverless, and Anthropic's messages. Fields of OpenAI's "
            "paths that are not described here pass through.",
        },
        "paths": {
            **_completion_paths(),
            **_count_paths(),
            **_model_paths(),
            **_operation_paths(has_metrics=has_metrics),
        },
        "components": {
            "schemas": schemas(),
            "responses": {
                f"{schema}{status}": _error(*told, schema=schema)
                for schema in _ERROR_SCHEMAS
                for status, told in _ERRORS.items()
            },
            "headers": {name: _header(name) for name in _HEADERS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
                "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _completion_paths() -> JsonObject:
    return {
        _path(path): _path_item(path, {"post": _completion(each)})
        for each in CLIENT_FORMATS
        for path in paths_of(each.path)
    }


def _count_paths() -> JsonObject:
    """Describe the count of a prompt's tokens, which has the body of a message."""
    answer = _response("An estimate.", {_JSON: {"schema": ref("TokenCount")}}, headers=_QUOTA_HEADERS)
    content = {_JSON: {"schema": ref(ANTHROPIC_MESSAGES.schemas.request_name)}}
    operation = {
        "summary": COUNT_PATH,
        "security": _KEYS,
        "requestBody": {"description": _BODY, "required": True, "content": content},
        "responses": {"200": answer, **_errors(*_COUNT_ERRORS, schema="MessagesError")},
    }
    return {_path(path): _path_item(path, {"post": operation}) for path in paths_of(COUNT_PATH)}


def _completion(client_format: ClientFormat) -> JsonObject:
    schemas = client_format.schemas
    error_schema = "MessagesError" if client_format is ANTHROPIC_MESSAGES else "ErrorBody"
    request = {_JSON: {"schema": ref(schemas.request_name)}}
    content = {_JSON: {"schema": ref(schemas.answer_name)}}
    if client_format.stream is not None:
        content[client_format.stream.media_type] = {"schema": _EVENT}
    return {
        "summary": client_format.path,
        "security": _KEYS,
        "parameters": [{"name": "idempotency-key", "in": "header", "schema": _IDEMPOTENCY_KEY}],
        "requestBody": {"description": _BODY, "required": True, "content": request},
        "responses": {
            "200": _response("The answer.", content, headers=(*_ANSWER_HEADERS, *_QUOTA_HEADERS)),
            **_errors(*_ERRORS, schema=error_schema),
        },
    }


def _model_paths() -> JsonObject:
    paths: JsonObject = {}
    for path in MODEL_PATHS:
        unknown = ["404"] if path.startswith(OF_ENDPOINT) else []
        listed = _keyed("Models that the key is allowed to use.", "ModelList", "401", *unknown, "405")
        found = _keyed("One model; its ID may contain slashes.", "ModelCard", "401", "403", "404", "405")
        paths[_path(path)] = _path_item(path, _readable(listed))
        paths[f"{_path(path)}/{{model_id}}"] = _path_item(f"{path}/{{model_id}}", _readable(found))
    return paths


def _keyed(summary: str, schema: str, *errors: str) -> JsonObject:
    answer = _response(summary, {_JSON: {"schema": ref(schema)}}, headers=_QUOTA_HEADERS)
    return {"summary": summary, "security": _KEYS, "responses": {"200": answer, **_errors(*errors)}}


def _operation_paths(*, has_metrics: bool) -> JsonObject:
    alive = _open("The process is alive.", {"type": "object", "required": ["status"]})
    fails = "A background task fails repeatedly, and the process is about to exit."
    told: JsonObject = {"type": "object", "required": ["status", "task"]}
    alive["responses"]["503"] = _response(fails, {_JSON: {"schema": told}})
    ready = _open("The process accepts requests.", ref("Readiness"))
    ready["responses"]["503"] = _response(
        "The process is draining or has no capacity.", {_JSON: {"schema": ref("Readiness")}}
    )
    operations = {
        **dict.fromkeys(LIVE_PATHS, alive),
        "/readyz": ready,
        PATH: _open("This document.", {"type": "object"}),
    }
    if has_metrics:
        rendered = _open(
            "Metrics in the Prometheus text format or as OpenMetrics.", {"type": "string"}, media_type=METRICS_TYPE
        )
        operations["/metrics"] = rendered
    return {path: _readable(operation) for path, operation in operations.items()}


def _open(summary: str, schema: JsonObject, *, media_type: str = _JSON) -> JsonObject:
    responses = {"200": _response(summary, {media_type: {"schema": schema}}), **_errors("405")}
    return {"summary": summary, "security": [], "responses": responses}


def _readable(operation: JsonObject) -> JsonObject:
    """Return a path item with an operation as GET, and the same without response bodies as HEAD."""
    responses = {status: _without_body(status, response) for status, response in operation["responses"].items()}
    return {"get": operation, "head": {**operation, "responses": responses}}


def _without_body(status: str, response: JsonObject) -> JsonObject:
    described = _error(*_ERRORS[status]) if "$ref" in response else response
    return {name: value for name, value in described.items() if name != "content"}


def _path(path: str) -> str:
    """Convert a path from Litestar's to OpenAPI's syntax."""
    return path.replace(":str}", "}")


def _path_item(path: str, operations: JsonObject) -> JsonObject:
    named = [(name, text) for name, text in _PARAMETERS.items() if f"{{{name}" in path]
    value = {"type": "string", "minLength": 1}
    parameters = [
        {"name": name, "in": "path", "required": True, "description": text, "schema": value} for name, text in named
    ]
    return {**operations, **({"parameters": parameters} if parameters else {})}


def _errors(*statuses: str, schema: str = "ErrorBody") -> JsonObject:
    return {status: {"$ref": f"#/components/responses/{schema}{status}"} for status in statuses}


def _error(description: str, headers: tuple[str, ...], *, schema: str = "ErrorBody") -> JsonObject:
    return _response(description, {_JSON: {"schema": ref(schema)}}, headers=headers)


def _response(description: str, content: JsonObject, *, headers: tuple[str, ...] = ()) -> JsonObject:
    named = {name: {"$ref": f"#/components/headers/{name}"} for name in (*_COMMON_HEADERS, *headers)}
    return {"description": description, "headers": named, "content": content}


def _header(name: str) -> JsonObject:
    return {"description": _HEADERS[name], "required": name in _ALWAYS, "schema": {"type": "string"}}
