"""The paths of the API: OpenAI's, the same for a base URL without /v1, and Runpod's form with an endpoint in it."""

from litestar.types import Scope

from gateway.domain import Api

OF_ENDPOINT = "/v2/{endpoint_id:str}/openai"
"""How Runpod's own URLs of one endpoint begin."""
MODEL_PATHS = ["/v1/models", "/models", f"{OF_ENDPOINT}/v1/models"]


def paths_of(api: Api) -> list[str]:
    """Return the paths of an API, as Litestar spells them."""
    return [api.value, api.value.removeprefix("/v1"), OF_ENDPOINT + api.value]


def endpoint_of(scope: Scope) -> str | None:
    """Return the endpoint that the path of a routed request names, by its id or name; None if it names none."""
    endpoint_id: str | None = scope["path_params"].get("endpoint_id")
    return endpoint_id
