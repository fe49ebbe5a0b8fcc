"""Define the paths of the API: OpenAI's, the same without /v1, and Runpod's form with an endpoint in the path."""

from litestar.types import Scope

OF_ENDPOINT = "/v2/{endpoint_id:str}/openai"
"""Prefix of Runpod's own URLs of one endpoint."""
_OF_MESSAGES = "/v1/messages"
MODEL_PATHS = ["/v1/models", "/models", f"{OF_ENDPOINT}/v1/models"]


def paths_of(path: str) -> list[str]:
    """Return all paths of a client format with this path, in Litestar's syntax.

    Anthropic's clients append `/v1/messages` to their base URL, which may then end in `/v1` or, as for other gateways,
    in `/anthropic`.
    """
    paths = [path, path.removeprefix("/v1"), OF_ENDPOINT + path]
    if path.startswith(_OF_MESSAGES):
        paths += [f"/anthropic{path}", f"/v1{path}"]
    return paths


def endpoint_of(scope: Scope) -> str | None:
    """Return the id or name of the endpoint in the path of a routed request; None if the path has none."""
    endpoint_id: str | None = scope["path_params"].get("endpoint_id")
    return endpoint_id
