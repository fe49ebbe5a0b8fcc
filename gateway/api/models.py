"""Answer GET /v1/models from the configuration: a request to the endpoint would start, and bill, a worker.

Anthropic's clients receive the models in their own format.
"""

from litestar import MediaType, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.api.anthropic_clients import is_anthropic, model_info, model_page
from gateway.api.auth import KeyRing
from gateway.api.paths import MODEL_PATHS, endpoint_of
from gateway.api.probes import READ
from gateway.api.request_context import AnyRequest, request_context_of
from gateway.domain import Tenant
from gateway.exchange.catalogue import Catalogue
from gateway.wire.openai import ModelCard, ModelList, encode

OWNER = "fairpod"


class Models:
    """List the models that a key may use."""

    def __init__(self, *, keys: KeyRing, catalogue: Catalogue, created_s: int) -> None:
        self._keys = keys
        self._catalogue = catalogue
        self._created_s = created_s

    def routes(self) -> list[HTTPRouteHandler]:
        """Return the routes of the list and of a single model, whose id may contain slashes, escaped or not."""

        @route(MODEL_PATHS, http_method=READ)
        async def list_models(request: AnyRequest) -> Response[bytes]:
            tenant, endpoint = self._asked(request)
            names = [model.id for model in self._catalogue.listed(tenant, endpoint=endpoint)]
            if is_anthropic(request.scope):
                return _json(model_page(names, created_s=self._created_s))
            return _json(encode(ModelList(data=[self._card(name) for name in names])))

        @route([f"{path}/{{model_id:path}}" for path in MODEL_PATHS], http_method=READ)
        async def retrieve_model(request: AnyRequest, model_id: FromPath[str]) -> Response[bytes]:
            tenant, endpoint = self._asked(request)
            model = self._catalogue.find(model_id.removeprefix("/"), tenant, endpoint=endpoint)
            if is_anthropic(request.scope):
                return _json(encode(model_info(model.id, created_s=self._created_s)))
            return _json(encode(self._card(model.id)))

        return [list_models, retrieve_model]

    def _asked(self, request: AnyRequest) -> tuple[Tenant, str | None]:
        """Return the tenant of the request's key, and the endpoint in its path, None without one.

        Raises:
            InvalidKeyError: The key is missing, unknown or expired.
            UnknownEndpointError: The endpoint is not configured.
        """
        tenant = self._keys.authenticate(request.scope, request_context_of(request.scope)).tenant
        endpoint = endpoint_of(request.scope)
        if endpoint is not None:
            self._catalogue.check_endpoint(endpoint)
        return tenant, endpoint

    def _card(self, model_id: str) -> ModelCard:
        return ModelCard(id=model_id, created=self._created_s, owned_by=OWNER)


def _json(body: bytes) -> Response[bytes]:
    return Response(body, media_type=MediaType.JSON)
