"""Define the paths of the API: OpenAI's, the same without /v1, and Runpod's form with an endpoint in the path."""

from litestar.types import Scope

OF_ENDPOINT = "/v2/{endpoint_id:str}/openai"
"""Prefix of Runpod's own URLs of one endpoint."""
MODEL_PATHS = ["/v1/models", "/models", f"{OF_ENDPOINT}/v1/models"]


def paths_of(path: str) -> list[str]:
    """Return all paths of a client format with this path, in Litestar's syntax."""
    return [path, path.removeprefix("/v1"), OF_ENDPOINT + path]


def endpoint_of(scope: Scope) -> str | None:
    """Return the id or name of the endpoint in the path of a routed request; None if the path has none."""
    endpoint_id: str | None = scope["path_params"].get("endpoint_id")
    return endpoint_id
