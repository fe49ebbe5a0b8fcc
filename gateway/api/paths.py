"""Define the paths of the API: OpenAI's, the same without /v1, and Runpod's form with an endpoint in the path."""

from litestar.types import Scope

from gateway.domain import Api

OF_ENDPOINT = "/v2/{endpoint_id:str}/openai"
"""Prefix of Runpod's own URLs of one endpoint."""
MODEL_PATHS = ["/v1/models", "/models", f"{OF_ENDPOINT}/v1/models"]


def paths_of(api: Api) -> list[str]:
    """Return the paths of an API, in Litestar's syntax."""
    return [api.value, api.value.removeprefix("/v1"), OF_ENDPOINT + api.value]


def endpoint_of(scope: Scope) -> str | None:
    """Return the id or name of the endpoint in the path of a routed request; None if the path has none."""
    endpoint_id: str | None = scope["path_params"].get("endpoint_id")
    return endpoint_id
